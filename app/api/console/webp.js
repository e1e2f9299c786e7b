/** The EXIF orientation of WebP photos, which browsers ignore and the service does not. */

const ORIENTATION = 0x0112;
const CHUNKS = 64;

/** How a canvas is transformed for each orientation, of a photo of the width w and the height h. */
const TRANSFORMS = {
  2: (w, h) => [-1, 0, 0, 1, w, 0], 3: (w, h) => [-1, 0, 0, -1, w, h], 4: (w, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0], 6: (w, h) => [0, 1, -1, 0, h, 0], 7: (w, h) => [0, -1, -1, 0, h, w], 8: w => [0, -1, 1, 0, 0, w],
};

/** Return the upright pixels of a WebP photo; null for another file or a photo that is upright already. */
export async function decodeTurnedWebp(file) {
  const orientation = await orientationOf(file);
  const transform = TRANSFORMS[orientation];
  if (!transform) return null;
  const bitmap = await createImageBitmap(file, { imageOrientation: "none" });
  const { width, height } = bitmap;
  const canvas = orientation < 5 ? new OffscreenCanvas(width, height) : new OffscreenCanvas(height, width);
  const pen = canvas.getContext("2d");
  pen.setTransform(...transform(width, height));
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.transferToImageBitmap();
}

/** Return the orientation that the EXIF chunk of a WebP file names; 1 if it has none. */
async function orientationOf(file) {
  const head = await part(file, 0, 12);
  if (name(head, 0) !== "RIFF" || name(head, 8) !== "WEBP") return 1;
  for (let at = 12, count = 0; at + 8 <= file.size && count < CHUNKS; count++) {
    const chunk = await part(file, at, 8);
    const size = chunk.getUint32(4, true);
    if (name(chunk, 0) === "EXIF") return orientationIn(await part(file, at + 8, size));
    at += 8 + size + size % 2;
  }
  return 1;
}

function orientationIn(exif) {
  const start = name(exif, 0) === "Exif" ? 6 : 0; // some writers keep the header of JPEG
  const little = exif.getUint16(start) === 0x4949;
  const table = start + exif.getUint32(start + 4, little);
  for (let index = 0; index < exif.getUint16(table, little); index++) {
    const entry = table + 2 + 12 * index;
    if (exif.getUint16(entry, little) === ORIENTATION) return exif.getUint16(entry + 8, little);
  }
  return 1;
}

const part = async (file, start, length) => new DataView(await file.slice(start, start + length).arrayBuffer());

/** Return four letters of a file; "" at its end. */
function name(view, start) {
  if (view.byteLength < start + 4) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map(index => view.getUint8(start + index)));
}
