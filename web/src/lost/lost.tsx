import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../api/queries";
import { nameOf } from "../account/me";
import { w } from "../words/shell";
import { NotFound } from "../ui/states";
import { useTitle } from "../ui/page";

/** An address at which there is nothing, or nothing for whoever asks. */
export default function Lost() {
  const me = useQuery(meQuery);
  useTitle(w("notFoundTitle"));
  return <NotFound loggedIn={Boolean(nameOf(me.data))} />;
}
