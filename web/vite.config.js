import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the page may be served below any path.
  base: "./",
  build: {
    target: "es2022",
    // A data: address would be blocked by the page's content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/v1": process.env.STARLING_URL ?? "http://127.0.0.1:8080" },
  },
});
