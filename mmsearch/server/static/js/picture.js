// A picture to search by: dropped, pasted or chosen. Kept for this tab, so that going back and reloading find it again.

import { Problem } from "./api.js";

const SIDE = 1024; // pixels; models look at fewer
const kept = new Map(); // key -> Blob
const PREFIX = "picture:";

/** Keeps a picture and gives the key that stands in the address. */
export async function keep(blob) {
  const key = Math.random().toString(36).slice(2, 10);
  const small = await smaller(blob);
  kept.set(key, small);
  if (small.size < 700_000) {
    const text = await dataUrl(small);
    try {
      sessionStorage.setItem(PREFIX + key, text);
    } catch {
      forgetOld(); // the storage is full: this one lasts until the page is closed
    }
  }
  return key;
}

/** The picture of a key. Throws where this tab no longer has it. */
export async function picture(key) {
  if (!kept.has(key)) {
    const text = sessionStorage.getItem(PREFIX + key);
    if (!text) throw new Problem(0, "picture_gone", "The picture that was searched by is gone. Drop it here again.");
    kept.set(key, fromDataUrl(text));
  }
  return kept.get(key);
}

export async function pictureAddress(key) {
  return URL.createObjectURL(await picture(key));
}

/** Scaled down and upright where the browser can read it; else as it is, for the server to try. */
async function smaller(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return blob;
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // below transparent parts
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? blob), "image/jpeg", 0.92));
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

function fromDataUrl(text) {
  const [head, body] = text.split(",", 2);
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}

function forgetOld() {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
}
