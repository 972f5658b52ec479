// HTML that the server rendered from Markdown, and sanitised. It is the one place where the application puts markup from elsewhere into a page.
interface Policy {
  createHTML: (html: string) => string;
}
interface TrustedTypes {
  createPolicy: (name: string, rules: Policy) => Policy;
}

const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
// Browsers refuse strings where markup is wanted unless this policy made them (Trusted Types).
const policy = types?.createPolicy("sluice", { createHTML: (html) => html });

/** Running text from the server, `html` of an answer of the management API. */
export function ServerHtml({ html, className = "" }: { html: string; className?: string }) {
  // oxlint-disable-next-line react/no-danger -- sanitised by the server; see above
  return <div className={`prose prose-links ${className}`} dangerouslySetInnerHTML={{ __html: policy ? policy.createHTML(html) : html }} />;
}
