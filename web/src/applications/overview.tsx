import { Credentials } from "./credentials";
import { ApplicationFrame, useApplication } from "./frame";
import { Refused } from "./refused";
import { Subscriptions } from "./subscriptions";

export default function Overview() {
  const at = useApplication();
  return (
    <ApplicationFrame part="overview">
      <Subscriptions {...at} />
      <Credentials {...at} />
      <Refused {...at} limit={5} key={at.environment} />
    </ApplicationFrame>
  );
}
