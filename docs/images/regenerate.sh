#!/bin/sh
# Draws the documentation's pictures of a digest, also on a phone, a weekly summary, a card of Teams and a message of Slack anew:
# `docs/images/regenerate.sh`, from anywhere. Needs Chromium, curl and Node.js, and one `cargo local --check` before, which installs
# the renderer of cards. With `--all` it also draws every sample mail at phone and desktop width, light and dark, into
# target/mail-preview.
set -eu
cd "$(dirname "$0")/../.."
chromium=${CHROMIUM:-chromium}
preview=$PWD/target/mail-preview

# draw <URL> <width> <height> <light|dark> <picture>
draw() {
    profile=$(mktemp -d)
    case $4 in light) scheme=1 ;; dark) scheme=0 ;; esac
    "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" \
        --blink-settings=preferredColorScheme="$scheme" --window-size="$2,$3" --virtual-time-budget=3000 \
        --screenshot="$5" "$1" 2>/dev/null
    rm -r "$profile"
}

# draw_phone <mail> <height> <light|dark> <picture>: in a frame of 360 pixels, since Chromium's windows are 500 pixels wide
# at least.
draw_phone() {
    printf '<body style="margin:0;background:#888;text-align:center"><iframe src="%s.html" style="width:360px;height:%spx;border:0"></iframe>' \
        "$1" "$2" > "$preview/phone.html"
    draw "file://$preview/phone.html" 500 "$2" "$3" "$4"
    rm "$preview/phone.html"
}

cargo run --quiet --package marketplace-leads --example mail-preview
draw "file://$preview/overview.html" 720 1010 light "$PWD/docs/images/digest.png"
draw_phone overview 1130 light "$PWD/docs/images/digest-phone.png"
draw "file://$preview/summary.html" 680 1430 light "$PWD/docs/images/weekly-summary.png"

# The page of the local cloud shows the card and the blocks, without the local cloud around it.
modules=$(ls -d "$PWD"/target/local-cloud/node-*/node_modules/adaptivecards | tail -n 1)
port=${PORT:-18181}
PORT=$port MODULES=${modules%/adaptivecards} WEBHOOK_KEY=whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD INBOX='' \
    node tests/local-cloud/emulators/receivers.mjs >"$preview/receivers.log" &
receivers=$!
trap 'kill $receivers' EXIT
for kind in teams slack; do
    case $kind in teams) height=1010 ;; slack) height=1040 ;; esac
    curl --silent --fail --noproxy '*' --retry 20 --retry-connrefused --retry-delay 1 \
        --data-binary "@$preview/overview-$kind.json" "http://127.0.0.1:$port/$kind" >"$preview/$kind.answer"
    for scheme in light dark; do
        draw "http://127.0.0.1:$port/?only=$kind" 640 $height $scheme "$PWD/docs/images/$kind-$scheme.png"
    done
done

if [ "${1-}" = --all ]; then
    for mail in "$preview"/*.html; do
        name=$(basename "$mail" .html)
        for scheme in light dark; do
            draw_phone "$name" 1600 $scheme "$preview/$name-phone-$scheme.png"
            draw "file://$mail" 1000 1200 $scheme "$preview/$name-desktop-$scheme.png"
        done
    done
fi
