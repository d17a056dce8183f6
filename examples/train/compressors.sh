#!/usr/bin/env bash
# compressors.sh TEXT [HELD_OUT]: bits per byte that compressors need for the last part of a text (0.05) when they have seen the rest:
# 8 * (compressed size of the whole - compressed size of the rest) / bytes of the part. Needs xz, zstd and 7z (PPMd).
set -euo pipefail
text=$1 held_out=${2:-0.05}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bytes=$(stat -c %s "$text")
part=$(awk "BEGIN { printf \"%.0f\", $bytes * $held_out }")
head -c $((bytes - part)) "$text" >"$folder/rest"

row() { # NAME COMMAND...: the command compresses standard input to standard output
  local whole rest
  whole=$("${@:2}" <"$text" | wc -c)
  rest=$("${@:2}" <"$folder/rest" | wc -c)
  awk "BEGIN { printf \"%-22s %.4f bits per byte of the held-out part, %.4f of the whole text\n\", \"$1\", 8 * ($whole - $rest) / $part, 8 * $whole / $bytes }"
}
ppmd() {
  rm -f "$folder/archive.7z"
  7z a -t7z -si -m0=PPMd:o="$1":mem=256m "$folder/archive.7z" >/dev/null
  cat "$folder/archive.7z"
}
row "xz -9" xz -9 -c
row "zstd -19" zstd -19 -c -q
for order in 6 8 12; do row "PPMd (7z), order $order" ppmd $order; done
