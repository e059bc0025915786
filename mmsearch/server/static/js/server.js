// What the server said of itself and of the library: /status, asked for at the start and after each run.

import { get } from "./api.js";

let status = null;

export const library = () => status;

/** Whether the server can do something that not each one can. */
export function has(feature) {
  return Boolean(status?.features.includes(feature));
}

export const readOnly = () => Boolean(status?.read_only);

export async function refreshStatus() {
  status = await get("status");
  return status;
}
