import { useQuery } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";
import { Problem } from "../api/client";
import Lost from "../lost/lost";
import { Empty, Failed, Loading } from "../ui/states";
import { w } from "../words/applications";
import { applicationQuery, defaultEnvironment } from "./documents";
import { useApplication, useEnvironments } from "./frame";

/** An application without an environment in the address: on to where it has something. */
export default function Enter() {
  const { name } = useApplication();
  const application = useQuery(applicationQuery(name));
  const environments = useEnvironments(name);
  if (application.error instanceof Problem && (application.error.hidden || application.error.notAllowed)) return <Lost />;
  if (application.isError) return <Failed error={application.error} again={() => void application.refetch()} />;
  if (!application.data || !environments) return <Loading what={name} />;
  const environment = defaultEnvironment(environments);
  if (!environment) return <Empty level={1} icon="sandbox" title={w("noEnvironment")} />;
  return <Navigate to="/apps/$name/$environment" params={{ name, environment }} replace />;
}
