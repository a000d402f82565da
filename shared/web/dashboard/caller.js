// Who uses the page, where callers sign in, and what their roles allow. The app checks every request again.

import { get, SIGN_IN } from "./api.js";

const caller = { roles: new Set(), isKnown: !SIGN_IN };

/** Read who is signed in. Throws ApiError. */
export async function readCaller() {
  const { body } = await get("me");
  Object.assign(caller, { roles: new Set(body.roles), isKnown: true });
  return body;
}

/** True once the caller is known; before, nothing is offered. */
export function isCallerKnown() {
  return caller.isKnown;
}

/** True if the caller has one of the roles. A function key has every role. */
export function mayDo(roles) {
  return !SIGN_IN || roles.some((role) => caller.roles.has(role));
}
