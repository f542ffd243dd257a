#!/bin/sh
# Add what Debian and Ubuntu lack for Open3D (drawing without a screen through EGL), for Python's venv, and a compiler for
# the C++ files, where it is missing and this user may install it; otherwise say what to ask for.
set -eu
command -v dpkg >/dev/null 2>&1 || exit 0
missing=""
for package in libusb-1.0-0 libgl1 libegl1 libgl1-mesa-dri libgomp1; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
"${1:-python3}" -c "import venv, ensurepip" >/dev/null 2>&1 ||
    missing="$missing $("${1:-python3}" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "Some system libraries are missing; ask an administrator to run: apt-get install$missing" >&2
    exit 0
fi
echo "Installing system libraries:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
    echo "They could not be installed; going on without. Later: apt-get install$missing" >&2
fi
