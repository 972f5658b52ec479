import { PageHead } from "../ui/page";
import { w } from "../words/console";

export default function ConsoleHome() {
  return <PageHead title={w("title")} lead={w("lead")} />;
}
