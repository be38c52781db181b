#!/bin/sh
# Draws the README's picture of a digest anew: `docs/images/regenerate.sh`, from anywhere. Needs Chromium.
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

cargo run --quiet --package marketplace-leads --example mail-preview
draw overview 720 972 light "$PWD/docs/images/digest.png"
if [ "${1-}" = --all ]; then
    for mail in "$preview"/*.html; do
        name=$(basename "$mail" .html)
        for scheme in light dark; do
            draw "$name" 360 1600 $scheme "$preview/$name-phone-$scheme.png"
            draw "$name" 1000 1200 $scheme "$preview/$name-desktop-$scheme.png"
        done
    done
fi
