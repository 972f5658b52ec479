import { Credentials } from "./credentials";
import { ApplicationFrame, useApplication } from "./frame";

export default function CredentialsPage() {
  const at = useApplication();
  return (
    <ApplicationFrame part="credentials">
      <Credentials {...at} />
    </ApplicationFrame>
  );
}
