/** The operations of the gallery: collections, their people, and the people's faces. */

import { call, download } from "./service.js";

const path = (...parts) => ["collections", ...parts.map(encodeURIComponent)].join("/");

/** Return all collections. */
export const collections = signal => call("GET", path(), { signal }).then(answer => answer.collections);

/** Return a collection. */
export const collection = (name, signal) => call("GET", path(name), { signal });

/** Create a collection for the vectors of an embedder; "" is the default one. */
export const createCollection = (name, model = "") => call("PUT", path(name), { json: model ? { model } : {} });

/** Delete a collection. The answer is null, or says that bytes are still being erased. */
export const deleteCollection = name => call("DELETE", path(name));

/** Return the export of a collection as a blob. */
export const exportCollection = name => download(`${path(name)}/export`);

/** Add the people of an export. */
export const importCollection = (name, file) => call("POST", `${path(name)}/import`, { text: file });

/** Return people of a collection, and the cursor for the next ones. */
export const people = (name, query, signal) => call("GET", `${path(name)}/people`, { query, signal });

/** Return a person. */
export const person = (name, id, signal) => call("GET", path(name, "people", id), { signal });

/** Add a person. */
export const addPerson = (name, details) => call("POST", `${path(name)}/people`, { json: details });

/** Change fields of a person, whose values are JSON; null removes a value. */
export const changePerson = (name, id, fields) => {
  const json = `{${Object.entries(fields).map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(", ")}}`;
  return call("PATCH", path(name, "people", id), { json });
};

/** Delete a person with all faces. */
export const deletePerson = (name, id) => call("DELETE", path(name, "people", id));

/** Give all faces of a person to another one, and delete the person. */
export const mergePerson = (name, id, into) => call("POST", path(name, "people", id, "merge"), { json: { into } });

/** Return the faces of a person. */
export const faces = (name, id, signal) => call("GET", path(name, "people", id, "faces"), { signal }).then(a => a.faces);

/** Delete a face. */
export const deleteFace = (name, id, face) => call("DELETE", path(name, "people", id, "faces", face));

/** Give a face to another person. */
export const moveFace = (name, id, face, to) =>
  call("POST", path(name, "people", id, "faces", face, "move"), { json: { person: to } });

/**
 * Store a face of a photo.
 *
 * @param {string} name - the collection.
 * @param {string} id - the person.
 * @param {File} file - the photo.
 * @param {Object|null} face - the face, as the service found it; null for the largest one.
 * @returns {Promise<Object>} the stored face, or a problem.
 */
export async function addFace(name, id, file, face = null) {
  const form = photoForm([file]);
  if (face) form.append("box", JSON.stringify(face.box));
  const query = { orientation: face?.rotation ? "auto" : "" };
  const { results: [result] } = await call("POST", path(name, "people", id, "faces"), { form, query });
  return result;
}

/** Return who the faces of a photo are. */
export const identify = (name, file, query, signal) =>
  call("POST", `${path(name)}/identify`, { form: photoForm([file]), query, signal });

/** Return the faces of photos, with a number for those of one person. */
export const cluster = (files, query, signal) => call("POST", "cluster", { form: photoForm(files), query, signal });

/** Return a form with photos, as all routes for images read it. */
export function photoForm(files, names = []) {
  const form = new FormData();
  files.forEach((file, index) => form.append(names[index] || "image", file, file.name || "photo"));
  return form;
}
