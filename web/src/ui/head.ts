// What the server wrote into the page's head.

const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? "";

/** The name of this portal, as its owner wrote it. */
export const brandName = meta("sluice-name") || "Sluice";

/** Where the owner's logo is; "" where the mark and the word are Sluice's. */
export const brandLogo = meta("sluice-logo");

/** The nonce of this answer, for styles that libraries add. */
export const styleNonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";

// Radix locks scrolling with a style sheet that it adds; this is where it looks for the nonce.
Object.assign(globalThis, { __webpack_nonce__: styleNonce });
