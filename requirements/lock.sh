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
    # mmcv-lite asks for the distribution "mmengine", which the OneDL line replaces; onedl-mim pins pandas to 2.2.3, of
    # which there is no wheel for Python 3.14; only `mim search` uses it
    [ $stack = mm ] || printf 'mmengine ; sys_platform == "never"\npandas>=2.3.3\n' >> "$overrides"
    # compiled for the oldest supported Python; the loop at the end asks for wheels for the others
    uv pip compile $stack.in --python-version 3.11 --python-platform linux --override "$overrides" \
        --upgrade --quiet --no-header --no-annotate --no-emit-index-url > $stack.all
    grep -E '^(nvidia|cuda|triton)' $stack.all | sort -u - linux.txt > linux.new && mv linux.new linux.txt
    grep -vE '^(nvidia|cuda|triton)' $stack.all > $stack.txt
    rm $stack.all
done
# the same versions, but for what is optional
printf 'opencv-python ; sys_platform == "never"\nmmengine ; sys_platform == "never"\npandas>=2.3.3\n' > "$overrides"
uv pip compile minimal.in --python-version 3.11 --python-platform linux --override "$overrides" \
    --constraint onedl.txt --constraint linux.txt --quiet --no-header --no-annotate --no-emit-index-url |
    grep -vE '^(nvidia|cuda|triton)' > minimal.txt
# one lock for all Pythons: fails if one of them would have to compile something (OneDL's packages are pure Python)
for python in 3.11 3.12 3.13 3.14; do
    for stack in onedl mm minimal; do
        uv pip install --dry-run --quiet --no-deps --target "$overrides.none" --python-version $python \
            --python-platform linux --only-binary :all: $(sed -n 's/^\(onedl-[a-z]*\)==.*/--no-binary \1/p' $stack.txt) \
            -r $stack.txt -r linux.txt
    done
done
