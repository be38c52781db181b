#!/bin/sh
# Draws the pictures of mails anew, a digest on a desktop and on a phone and a weekly summary: `docs/images/regenerate.sh`, from anywhere. Needs Chromium.
# With `--all` it also draws every sample mail at phone and desktop width, light and dark, into target/mail-preview.
set -eu
cd "$(dirname "$0")/../.."
chromium=${CHROMIUM:-chromium}
preview=$PWD/target/mail-preview

# draw <mail> <width> <height> <light|dark> <picture>
draw() {
    profile=$(mktemp -d)
    case $4 in light) scheme=1 ;; dark) scheme=0 ;; esac
    "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" \
        --blink-settings=preferredColorScheme="$scheme" --window-size="$2,$3" --screenshot="$5" \
        "file://$preview/$1.html" 2>/dev/null
    rm -r "$profile"
}

# draw_phone <mail> <height> <light|dark> <picture>: in a frame of 360 pixels, since Chromium's windows are 500 pixels wide
# at least.
draw_phone() {
    printf '<body style="margin:0;background:#888;text-align:center"><iframe src="%s.html" style="width:360px;height:%spx;border:0"></iframe>' \
        "$1" "$2" > "$preview/phone.html"
    draw phone 500 "$2" "$3" "$4"
    rm "$preview/phone.html"
}

cargo run --quiet --package marketplace-leads --example mail-preview
draw overview 720 1010 light "$PWD/docs/images/digest.png"
draw_phone overview 1130 light "$PWD/docs/images/digest-phone.png"
draw summary 720 1430 light "$PWD/docs/images/weekly-summary.png"
if [ "${1-}" = --all ]; then
    for mail in "$preview"/*.html; do
        name=$(basename "$mail" .html)
        for scheme in light dark; do
            draw_phone "$name" 1600 $scheme "$preview/$name-phone-$scheme.png"
            draw "$name" 1000 1200 $scheme "$preview/$name-desktop-$scheme.png"
        done
    done
fi
