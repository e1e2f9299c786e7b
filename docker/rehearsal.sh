#!/usr/bin/env bash
# Builds and runs the CPU image without a container engine: buildah runs the steps of the Dockerfile in a chroot, on a
# Debian that is made here in place of Python's image, and the result runs as compose would run it. Needs root (chroot,
# mounts, namespaces), about 3 GB in TMPDIR, and on Debian:
#   apt-get install buildah mmdebstrap curl iproute2 util-linux
#
# Usage: docker/rehearsal.sh [ROOT.tar]    a root file system that `docker/rehearsal.sh --base ROOT.tar` made before
# The build uses the pip settings of this machine, but they do not become part of the image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SUITE=trixie # the suite of the Dockerfile's base image
PHOTO=tests/photos/obama.jpg
ANOTHER=tests/photos/obama2.jpg # of the same person
READY_WITHIN=${READY_WITHIN:-180} # seconds
DRIVER=${STORAGE_DRIVER:-vfs} # storage driver of buildah; overlay is faster where it works

say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "root is needed for chroot, mounts and namespaces"
for tool in buildah mmdebstrap unshare nsenter setpriv ip curl python3; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

# As in Python's image: python and pip in /usr/local, separate from Debian's own Python.
make_base() {
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3-venv --dpkgopt=force-unsafe-io \
    --customize-hook="chroot \"\$1\" python3 -m venv --copies /usr/local" "$SUITE" "$1"
}

if [ "${1:-}" = --base ]; then
  make_base "${2:?give the name of the file to write}"
  exit
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/facet-rehearsal-XXXXXX")
init= # the process id of the container's first process

tidy() {
  set +e
  [ -n "$init" ] && kill -KILL "$init" 2>/dev/null && wait 2>/dev/null
  containers unmount --all >/dev/null 2>&1
  rm -rf --one-file-system "$work"
}
containers() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver "$DRIVER" "$@"; }
trap tidy EXIT
trap 'exit 130' INT TERM

# --- the build ------------------------------------------------------------------------------------

base=${1:-}
if [ -z "$base" ]; then
  say "== base: Debian $SUITE and its Python"
  base=$work/base.tar
  make_base "$base"
fi
from=$(containers from scratch)
containers add --quiet "$from" "$base" / >/dev/null
containers commit --quiet --rm "$from" facet-base >/dev/null

# The pip settings of this machine (files and variables) as one file; folders and certificates that it names are mounted.
mounts=()
python3 - "$work/pip.conf" >"$work/paths" <<'PYTHON'
import os, re, subprocess, sys

found = {}
listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
for line in listed.stdout.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    if section in ("global", "install", ":env:") and key != "config-file":
        found[key.lower()] = value.strip("'\"").replace("\\n", " ")  # the environment is listed last and takes precedence
with open(sys.argv[1], "w") as file:
    print("[global]", *(f"{key} = {value}" for key, value in found.items()), sep="\n", file=file)
# An index in a folder refers to files beside it.
for scheme, path in {hit for value in found.values() for hit in re.findall(r"(file://|(?<!\S))(/\S+)", value)}:
    if os.path.exists(path):
        print(os.path.dirname(path.rstrip("/")) if scheme else path)
PYTHON
while read -r path; do mounts+=(--volume "$path:$path:ro"); done <"$work/paths"

say "== docker/service.Dockerfile, target cpu"
containers build --isolation chroot --network host --pull-never --layers=false --format docker \
  --build-arg BASE=localhost/facet-base --volume "$work/pip.conf:/etc/pip.conf:ro" "${mounts[@]}" \
  --target cpu --file docker/service.Dockerfile --tag facet:cpu . >"$work/build.log" 2>&1 ||
  { tail -40 "$work/build.log" >&2; fail "the build"; }
grep -E '^(\[.*\] )?STEP|^Successfully tagged' "$work/build.log"

container=$(containers from --pull-never localhost/facet:cpu)
root=$(containers mount "$container")
containers inspect --type image localhost/facet:cpu >"$work/image.json"
config() { # prints a field of the image's configuration, one line per item
  python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))["Docker"]["config"]
for key in sys.argv[2].split("."): value = value[key]
print(*(value if isinstance(value, list) else [value]), sep="\n")' "$work/image.json" "$1"
}
uid=$(config User)
mapfile -t environment < <(config Env)
mapfile -t command < <(config Cmd)
mapfile -t health < <(config Healthcheck.Test)
[ "$uid" -gt 0 ] || fail "the image runs as root"
gid=$(awk -F: -v uid="$uid" '$3 == uid {print $4}' "$root/etc/passwd")
[ "${health[0]}" = CMD ] || fail "the health check is not a plain command"
health=("${health[@]:1}")
folder=$(config WorkingDir)

say "== contents of the image: $(du -sm "$root" | cut -f1) MB, $(du -sm "$root$folder" | cut -f1) MB of it in $folder"
(cd "$root$folder" && find . -mindepth 1 -maxdepth 1 | sort | tr '\n' ' ' && echo)
for path in .env .git tests training docker models/golden models/source cache runs; do
  [ ! -e "$root$folder/$path" ] || fail "$path is in the image"
done
[ ! -s "$root/etc/pip.conf" ] || fail "the pip settings of this machine are in the image"
[ -z "$(find "$root$folder" \( -user "$uid" -o -perm -o+w \) ! -type l ! -path "$root$folder/gallery" -print -quit)" ] ||
  fail "the service can write its own files"
[ "$(stat -c '%u:%g %a' "$root$folder/gallery")" = "$uid:$gid 700" ] || fail "the folder of the gallery is not the service's own"
[ -z "$(ls -A "$root$folder/gallery")" ] || fail "the image has a gallery"

# --- the run --------------------------------------------------------------------------------------

# As in compose, the first process is a small init, and everything except /tmp and the gallery's volume is read-only.
cat >"$work/init" <<'INIT'
set -euo pipefail
root=$1 folder=$2 uid=$3 gid=$4 volume=$5; shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,noexec,nodev proc "$root/proc"
mount -t sysfs -o ro,nosuid,noexec,nodev sysfs "$root/sys"
mount -t tmpfs -o nosuid,noexec,nodev tmpfs "$root/tmp"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o nosuid,noexec,nodev tmpfs "$root/dev/shm"
[ -z "$volume" ] || mount --bind "$volume" "$root$folder/gallery"
mount -o remount,bind,ro "$root"
ip link set lo up
chroot "$root" setpriv --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all --ambient-caps=-all \
  --bounding-set=-all --no-new-privs sh -c 'cd "$1"; shift; exec "$@"' - "$folder" "$@" &
child=$!
trap 'kill -TERM "$child"' TERM
set +e
wait "$child"; status=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
exit "$status"
INIT

children() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }
inside() { # as `docker exec`: the same user, limits and environment
  nsenter --target "$server" --mount --pid --net --root --wd env -i "${environment[@]}" \
    setpriv --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
}
ask() { nsenter --target "$server" --net curl --silent --show-error --fail-with-body --max-time 60 "$@"; }

# Starts the service, with this folder as the volume of its gallery, or without one, and waits until it is healthy.
start() {
  began=$(date +%s)
  env -i "${environment[@]}" unshare --mount --pid --net --ipc --uts --fork --kill-child \
    bash "$work/init" "$root" "$folder" "$uid" "$gid" "${1:-}" "${command[@]}" >"$work/service.log" 2>&1 &
  outer=$!
  server=
  for _ in $(seq 200); do
    init=$(children "$outer"); init=${init%% *}
    for child in ${init:+$(children "$init")}; do
      if grep -q python "/proc/$child/comm" 2>/dev/null; then server=$child; fi
    done
    [ -z "$server" ] || break
    kill -0 "$outer" 2>/dev/null || { cat "$work/service.log" >&2; fail "the service did not start"; }
    sleep 0.1
  done
  [ -n "$server" ] || { cat "$work/service.log" >&2; fail "no service process was found"; }
  if inside "${health[@]}" >/dev/null 2>&1; then fail "the health check succeeds before the service is ready"; fi
  until inside "${health[@]}" >/dev/null 2>&1; do
    [ $(($(date +%s) - began)) -lt "$READY_WITHIN" ] || { cat "$work/service.log" >&2; fail "the service did not become ready"; }
    kill -0 "$outer" 2>/dev/null || { cat "$work/service.log" >&2; fail "the service ended before it was ready"; }
    sleep 0.5
  done
  say "the health check failed at first, and succeeds $(($(date +%s) - began)) s after the start"
}

stop() {
  kill -TERM "$init"
  began=$(date +%s%N)
  code=0; wait "$outer" || code=$?
  init=
  [ "$code" = 0 ] || { tail -20 "$work/service.log" >&2; fail "exit status after SIGTERM: $code"; }
  say "SIGTERM: exit status 0 after $((($(date +%s%N) - began) / 1000000)) ms"
}

say "== ${command[*]}, as user $uid:$gid, without capabilities, read-only except /tmp and the volume of the gallery," \
  "in its own network namespace"
cp -a "$root$folder/gallery" "$work/gallery" # as an engine fills a new volume
start "$work/gallery"

status=$(cat "/proc/$server/status")
for line in "Uid:.*$uid.*$uid.*$uid.*$uid" 'CapEff:.*0000000000000000' 'CapBnd:.*0000000000000000' 'NoNewPrivs:.*1'; do
  grep -qE "^$line" <<<"$status" || fail "the process of the service does not have $line"
done
inside touch /tmp/written || fail "/tmp is not writable"
for path in "$folder/written" "$folder/app/written" /etc/written /var/tmp/written /written; do
  if inside touch "$path" 2>/dev/null; then fail "$path is writable"; fi
done
if nsenter --target "$server" --mount --pid --root touch "$folder/written" 2>/dev/null; then
  fail "root can write to $folder"
fi
say "user $uid, no capabilities, no new privileges; nothing except /tmp and the gallery is writable, not even by root"

ask --data-binary @"$PHOTO" -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/landmarks >"$work/answer.json"
python3 - "$work/answer.json" <<'PYTHON'
import json, sys

answer = json.load(open(sys.argv[1]))
[face] = answer["faces"]
box = face["box"]
assert answer["image"] == {"width": 910, "height": 1137}, answer["image"]
assert len(face["landmarks"]) == 68 and face["score"] > 0.9, face
assert 300 < box["x1"] < 450 < 560 < box["x2"] < 700 and 50 < box["y1"] < 150 < 350 < box["y2"] < 480, box
print(f"one photo: one face, score {face['score']:.3f}, 68 points, {answer['timing_ms']['total']:.0f} ms")
PYTHON
ask -F image_a=@"$PHOTO" -F image_b=@tests/photos/obama2.jpg http://127.0.0.1:8000/verify |
  python3 -c 'import json, sys; answer = json.load(sys.stdin); assert answer["verified"] is True, answer'
ask http://127.0.0.1:8000/models |
  python3 -c 'import json, sys; found = {m["provider"] for m in json.load(sys.stdin)["models"]}
assert found == {"CPUExecutionProvider"}, found'
ask http://127.0.0.1:8000/metrics >"$work/metrics"
grep -qx 'face_ready 1.0' "$work/metrics" || fail "face_ready is not 1"
grep -q '^face_requests_total{.*route="/landmarks",status="200"} 1.0' "$work/metrics" || fail "the request was not counted"
say "two photos of one person are verified; models run on the CPU; metrics count the requests"

# --- the gallery ----------------------------------------------------------------------------------

at=http://127.0.0.1:8000/collections/family
field() { # prints a field of the JSON on standard input, such as results.0.face.id
  python3 -c 'import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."): value = value[int(key) if isinstance(value, list) else key]
print(value)' "$1"
}
status_of() { nsenter --target "$server" --net curl --silent --max-time 60 -o "$work/answer.json" -w '%{http_code}' "$@"; }

[ "$(status_of -X PUT "$at")" = 201 ] || { cat "$work/answer.json" >&2; fail "the collection was not created"; }
person=$(ask -H 'Content-Type: application/json' -d '{"name": "Barack"}' "$at/people" | field id)
ask -F image=@"$PHOTO" "$at/people/$person/faces" | field results.0.face.id >/dev/null || fail "the face was not stored"
identified() { ask -F image=@"$ANOTHER" "$at/identify" | field faces.0.person.id; }
[ "$(identified)" = "$person" ] || fail "the person was not identified"
[ "$(find "$work/gallery" -type f ! \( -user "$uid" -perm 600 \) | wc -l)" = 0 ] || fail "others can read the gallery"
say "a person is enrolled by one photo and identified by another; the files are $(cd "$work/gallery" && ls | tr '\n' ' ')"

stop
start "$work/gallery"
[ "$(identified)" = "$person" ] || fail "the person is lost after a restart"
[ "$(status_of -X DELETE "$at")" = 204 ] || { cat "$work/answer.json" >&2; fail "the collection was not deleted"; }
[ "$(status_of "$at")" = 404 ] || fail "the collection is still there"
say "after a restart the person is still identified; the collection is deleted"

stop
say "== the same without the volume"
start
[ "$(status_of -X PUT "$at")" = 503 ] || { cat "$work/answer.json" >&2; fail "a gallery was created without a volume"; }
[ "$(field type <"$work/answer.json")" = /problems/gallery-unavailable ] || fail "the problem is another one"
say "gallery: $(field detail <"$work/answer.json")"
[ "$(ask -F image=@"$PHOTO" http://127.0.0.1:8000/detect | field faces.0.score | cut -c1-3)" = 0.9 ] ||
  fail "the detection does not work without a gallery"
say "/detect works"
stop

cat <<'END'
== Tested: each step of the Dockerfile's cpu target, from the locked requirements and the files that .dockerignore
   allows; the start of the image as its own user, on a read-only root, without capabilities, in its own network
   namespace; the health check, a photo, an orderly shutdown, and a gallery with and without its volume.
   Not tested: the base image itself (a Debian with its own Python replaced it), the gpu target, docker compose,
   and Docker's own isolation (seccomp, AppArmor, cgroups).
END
