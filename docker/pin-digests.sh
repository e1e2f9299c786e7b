#!/usr/bin/env bash
# Appends to each image's tag the digest that the registry answers for it now, so that the image cannot change:
#   docker/pin-digests.sh        needs docker with buildx, and access to the registries
# To update an image: change the tag, delete its digest, and run this again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=(docker-compose.yml docker/*.Dockerfile)
# Images that are built here (facet:...) are in no registry.
images=$(sed -nE '/image: facet:/d; s/^( *image: |ARG BASE=)([^ @]+:[^ @]+)$/\2/p' "${files[@]}" | sort -u)
for image in $images; do
  digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "no digest for $image: $digest" >&2; exit 1; }
  sed -i -E "s#^( *image: |ARG BASE=)$image\$#\1$image@$digest#" "${files[@]}"
  echo "$image@$digest"
done
