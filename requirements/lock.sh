#!/usr/bin/env bash
# Writes the lock files anew from the .in files (needs uv). The CUDA runtime that torch's Linux
# build asks for goes to linux.txt, so that the other two install on every platform.
set -euo pipefail
cd "$(dirname "$0")"
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
: > linux.txt
for stack in onedl mm; do
    printf 'opencv-python ; sys_platform == "never"\n' > "$overrides"
    # mmcv-lite asks for the distribution "mmengine", which the OneDL line replaces
    [ $stack = mm ] || printf 'mmengine ; sys_platform == "never"\n' >> "$overrides"
    # compiled for the oldest supported Python: these versions have wheels for the newer one too
    uv pip compile $stack.in --python-version 3.11 --python-platform linux --override "$overrides" \
        --upgrade --quiet --no-header --no-annotate --no-emit-index-url > $stack.all
    grep -E '^(nvidia|cuda|triton)' $stack.all | sort -u - linux.txt > linux.new && mv linux.new linux.txt
    grep -vE '^(nvidia|cuda|triton)' $stack.all > $stack.txt
    rm $stack.all
done
# the same versions, but for what is optional
printf 'opencv-python ; sys_platform == "never"\nmmengine ; sys_platform == "never"\n' > "$overrides"
uv pip compile minimal.in --python-version 3.11 --python-platform linux --override "$overrides" \
    --constraint onedl.txt --constraint linux.txt --quiet --no-header --no-annotate --no-emit-index-url |
    grep -vE '^(nvidia|cuda|triton)' > minimal.txt
