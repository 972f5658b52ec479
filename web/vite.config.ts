import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// A Sluice that runs, for `npm run dev`: its management API is passed on, so that cookies and origins are those of one host.
const server = process.env["SLUICE_SERVER"] ?? "http://127.0.0.1:18080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: { proxy: { "/v1": { target: server, changeOrigin: true }, "/apis": { target: server, changeOrigin: true, bypass: (r) => (/\.(yaml|json|md)$/.test(r.url ?? "") ? undefined : "/index.html") } } },
  build: {
    target: "es2023",
    // Everything is a file of its own: data: URLs would have to be allowed by the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: "manifest.json",
    rollupOptions: { input: ["index.html", "console.html"] },
  },
});
