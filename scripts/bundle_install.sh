#!/bin/sh
# Install Facet from the bundle in which this script lies, without a network:
#   sh install.sh FOLDER
#   PYTHON=/path/to/python3.12 sh install.sh FOLDER
# It needs coreutils, tar, and a Python of the bundle's versions with its module venv.
set -eu
umask 022
unset PYTHONHOME PYTHONPATH

fail() {
  echo "Facet was not installed. $*" >&2
  exit 1
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: sh install.sh FOLDER" >&2
  exit 2
fi
case $1 in /*) folder=$1 ;; *) folder=$PWD/$1 ;; esac
cd "$(dirname "$0")"

# --- is the bundle complete? ----------------------------------------------------------------------

[ -f SHA256SUMS ] || fail "SHA256SUMS is missing. Copy all files of the bundle into one folder."
if ! checked=$(LC_ALL=C sha256sum --check --quiet SHA256SUMS 2>/dev/null); then
  missing= damaged=
  while IFS= read -r line; do
    case $line in
      *': FAILED open or read') missing="$missing ${line%: *}" ;;
      *': FAILED') damaged="$damaged ${line%: *}" ;;
    esac
  done <<END
$checked
END
  [ -n "$missing$damaged" ] || damaged=' SHA256SUMS'
  fail "${missing:+Missing:$missing. }${damaged:+Damaged:$damaged. }Copy these files again."
fi
[ -f bundle.conf ] || fail "SHA256SUMS is damaged. Copy it again."
. ./bundle.conf

# --- does it fit this machine? --------------------------------------------------------------------

[ "$(uname -s) $(uname -m)" = "Linux $MACHINE" ] ||
  fail "This machine has $(uname -s) on $(uname -m), but the bundle is for Linux on $MACHINE. Make one on a machine like this."

suits='
import os, sys, sysconfig
machine, glibc, versions = sys.argv[1], sys.argv[2], sys.argv[3].split()
version = "%d.%d" % sys.version_info[:2]
if version not in versions:
    sys.exit("is " + version)
if sysconfig.get_platform() != "linux-" + machine:
    sys.exit("is for " + sysconfig.get_platform())
try:
    found = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except (AttributeError, ValueError):
    sys.exit("does not use glibc")
if [int(part) for part in found.split(".")[:2]] < [int(part) for part in glibc.split(".")]:
    sys.exit("uses glibc " + found + ", which is older than " + glibc)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("has no module venv (Debian and Ubuntu have it in python3-venv)")
print(version)
'
if [ -n "${PYTHON:-}" ]; then
  set -- "$PYTHON"
else
  set -- python3 $(printf 'python%s ' $PYTHONS)
fi
python= seen=
for candidate; do
  command -v "$candidate" >/dev/null || continue
  if version=$("$candidate" -c "$suits" "$MACHINE" "$GLIBC" "$PYTHONS" 2>&1); then
    python=$candidate
    break
  fi
  case $version in # a version manager's command for a version that is not active says something else
    'is '* | 'does '* | 'uses '* | 'has '*) seen="$seen $candidate $version;" ;;
  esac
done
versions=$(printf ' or %s' $PYTHONS)
[ -n "$python" ] || fail "The bundle needs Python ${versions# or } with its module venv, but${seen:- there is none;}" \
  "name another one: PYTHON=/path/to/python sh install.sh FOLDER, or make the bundle with other PYTHON_VERSIONS."

# --- the folder -----------------------------------------------------------------------------------

# bundle.conf is written last: a folder that has it is installed. Until then its name ends in .partial.
start="$folder/facet serve"
if [ -f "$folder/bundle.conf" ]; then
  [ "$(cat "$folder/bundle.conf")" = "$(cat bundle.conf)" ] ||
    fail "$folder has another version of Facet. Choose a new folder; docs/guides/offline.md says how to keep the gallery."
  echo "Facet $VERSION is already installed in $folder. Start the service: $start"
  exit
fi

empty() { rm -rf "$folder"/* "$folder"/.[!.]*; }
made=
tidy() {
  status=$?
  trap - EXIT
  cd /
  empty
  [ -z "$made" ] || rmdir "$folder"
  exit "$status"
}

if [ -f "$folder/bundle.conf.partial" ]; then # an earlier run was killed
  empty
elif [ -d "$folder" ]; then
  [ -z "$(ls -A "$folder")" ] || fail "$folder is not empty. Name a new folder."
else
  reason=$(LC_ALL=C mkdir "$folder" 2>&1) ||
    fail "$reason. Name another folder, or run this as a user who may make it."
  made=yes
fi
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

free=$("$python" -c 'import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free >> 20)' "$folder")
[ "$free" -ge "$NEEDED_MB" ] ||
  fail "Facet needs $NEEDED_MB MiB in $folder, but only $free MiB are free. Free space, or name a folder on another disk."

# --- the installation -----------------------------------------------------------------------------

log=$folder/install.log
must() { # must MESSAGE COMMAND...: with the last line of what a failed command says
  message=$1
  shift
  "$@" >"$log" 2>&1 || fail "$message: $(tail -n 1 "$log")"
}

unpack() {
  cat $(seq -f "$NAME.tar.%04g" 0 $((PARTS - 1))) |
    tar --extract --no-same-owner --strip-components=1 --directory "$folder"
}

(: >"$folder/bundle.conf.partial") 2>/dev/null || fail "You may not write into $folder. Run this as another user, or name another folder."
echo "unpacking Facet $VERSION"
must "The parts cannot be unpacked" unpack
echo "installing the packages with $python"
must "The virtual environment cannot be made" "$python" -m venv "$folder/.venv"
# No setting of pip may add an index or a constraint.
must "The packages cannot be installed" env PIP_CONFIG_FILE=/dev/null "$folder/.venv/bin/python" -m pip --isolated \
  install --no-cache-dir --no-index --find-links "$folder/wheels" --no-deps --require-hashes -r "$folder/wheels/requirements-$version.txt"
# The user who runs the service may not be allowed to write beside the sources.
must "The sources cannot be compiled" "$folder/.venv/bin/python" -m compileall -q "$folder/app"

cat >"$folder/facet" <<END
#!/bin/sh
# The command line of Facet, in any folder: facet serve, facet detect photo.jpg
here=\$(dirname "\$(readlink -f "\$0")")
export FACE_DEVICE="\${FACE_DEVICE:-$DEVICE}" PYTHONPATH="\$here\${PYTHONPATH:+:\$PYTHONPATH}"
exec "\$here/.venv/bin/python" -P -m app "\$@"
END
chmod 755 "$folder/facet"
must "The installed packages do not work" env PYTHONPATH="$folder" "$folder/.venv/bin/python" -P -c 'import app.main'
rm -rf "$folder/wheels" "$log"
cat bundle.conf >"$folder/bundle.conf.partial"
mv "$folder/bundle.conf.partial" "$folder/bundle.conf"
trap - EXIT
echo "Facet $VERSION is installed in $folder. Start the service: $start"
