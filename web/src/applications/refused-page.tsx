import { Refused } from "./refused";
import { ApplicationFrame, useApplication } from "./frame";

export default function RefusedPage() {
  const at = useApplication();
  return (
    <ApplicationFrame part="refused">
      <Refused {...at} limit={25} key={at.environment} />
    </ApplicationFrame>
  );
}
