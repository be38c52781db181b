#!/bin/sh
# Draws the documentation's pictures of a digest, also on a phone and in Chinese, a weekly summary, a card of Teams and a message of
# Slack anew: `docs/images/regenerate.sh`, from anywhere. Needs Chromium, a font with Chinese (Debian: fonts-noto-cjk), curl and
# Node.js, and one `cargo local --check` before, which installs the renderer of cards. With `--all` it also draws every sample mail at
# phone and desktop width, light and dark, into target/mail-preview; with `--local` only what `cargo local` shows when it is up.
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

# draw_phone <mail> <height> <light|dark> <picture>: 390 pixels wide. Chromium's windows are 500 pixels wide at least, so that a
# frame of that width is enlarged to fill one.
draw_phone() {
    printf '<body style="margin:0;overflow:hidden"><iframe src="%s.html" style="width:390px;height:%spx;border:0;transform:scale(%s);transform-origin:0 0"></iframe>' \
        "$1" "$2" 1.28206 > "$preview/phone.html"
    draw "file://$preview/phone.html" 500 $(($2 * 500 / 390)) "$3" "$4"
    rm "$preview/phone.html"
}

# draw_local: starts the local cloud, draws its screen without its keys and the names of this machine's folders, and stops it.
draw_local() {
    mkdir -p "$preview"
    cargo local >"$preview/local.txt" 2>"$preview/local.log" &
    cloud=$!
    trap 'kill $cloud' EXIT
    sleep 1
    until grep -q 'Ctrl-C' "$preview/local.txt"; do
        kill -0 $cloud
        sleep 1
    done
    {
        printf '<body style="margin:0;background:#12161b;color:#e8ecf1;font:14px/1.5 DejaVu Sans Mono,Consolas,monospace"><pre style="margin:14px 18px;white-space:pre-wrap;overflow-wrap:anywhere;font:inherit">$ cargo local\n'
        sed -e "s#$PWD#~/marketplace-leads#g" -e "s/code=[^&\" ']*/code=.../g" -e 's/Key=[^;]*/Key=.../g' -e 's/&/\&amp;/g' -e 's/</\&lt;/g' "$preview/local.txt"
        printf '</pre>'
    } >"$preview/local.html"
    lines=$(($(wc -l <"$preview/local.txt") + $(grep -c '.\{112\}' "$preview/local.txt" || true) + 3))
    draw "file://$preview/local.html" 980 $((lines * 21 + 10)) light "$PWD/docs/images/cargo-local.png"
}

if [ "${1-}" = --local ]; then
    draw_local
    exit
fi

cargo run --quiet --package marketplace-leads --example mail-preview
draw "file://$preview/overview.html" 720 905 light "$PWD/docs/images/digest.png"
draw_phone overview 990 light "$PWD/docs/images/digest-phone.png"
draw "file://$preview/chinese.html" 720 1110 light "$PWD/docs/images/digest-chinese.png"
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
