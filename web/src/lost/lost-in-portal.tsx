import { PortalShell } from "../ui/shell";
import Lost from "./lost";

/** The portal around nothing, for addresses that no room has. */
export default function LostInPortal() {
  return (
    <PortalShell>
      <Lost />
    </PortalShell>
  );
}
