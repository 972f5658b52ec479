// What portal and console begin with.
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queryClient } from "./api/queries";
import type { makeRouter } from "./routes";
import "./ui/style.css";

export function start(router: ReturnType<typeof makeRouter>) {
  const root = document.getElementById("root");
  if (!root) throw new Error("bug: the page has no #root");
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
