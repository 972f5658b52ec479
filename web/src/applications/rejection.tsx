import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Problem, api, got } from "../api/client";
import Lost from "../lost/lost";
import { Card, Section } from "../ui/card";
import { Facts } from "../ui/facts";
import { PageHead } from "../ui/page";
import { Await } from "../ui/states";
import { Ago } from "../ui/time";
import { w } from "../words/applications";
import { TopicState } from "./subscriptions";

/** One refused request, by the id that the client's log has. */
export default function RejectionPage() {
  const { id = "" } = useParams({ strict: false });
  const query = useQuery({ queryKey: ["rejections", id], queryFn: ({ signal }) => got(api.GET("/v1/rejections/{id}", { params: { path: { id } }, signal })) });
  if (query.error instanceof Problem && (query.error.hidden || query.error.notAllowed)) return <Lost />;
  return (
    <div className="mx-auto max-w-result">
      <PageHead title={w("refusedOne", { id })} crumbs={[{ label: w("title"), link: { to: "/apps" } }]} />
      <div className="mt-6 grid grid-cols-1 gap-8">
        <Await query={query} what={w("refusedOne", { id })} card>
          {(r) => (
            <div className="grid grid-cols-1 gap-8">
              <p className="text-lg">{r.rule}</p>
              <Card pad>
                <Facts
                  facts={[
                    [w("when"), <Ago key="when" at={r.time} both />],
                    [w("application"), r.application && r.environment ? <Link key="a" to="/apps/$name/$environment/refused" params={{ name: r.application, environment: r.environment }}>{r.application}</Link> : (r.application ?? "")],
                    [w("environment"), r.environment ?? ""],
                    [w("credential"), <span key="c" className="font-mono">{r.credential}</span>],
                    [w("address"), r.address ?? ""],
                    [w("request"), <span key="r" className="font-mono">{r.api}</span>],
                    [w("wanted"), <span key="w">{r.operation} {r.what} <span className="font-mono">{r.name}</span></span>],
                    [w("answer"), <span key="v" className="font-mono">{r.verdict}</span>],
                    [w("gateway"), <span key="g" className="font-mono">{r.gateway}</span>],
                  ]}
                />
              </Card>
              {r.topic && (
                <Section title={w("now")}>
                  <Card pad>
                    <Facts
                      facts={[
                        [w("topic"), <span key="t" className="font-mono">{r.topic.topic}</span>],
                        [w("state"), <TopicState key="s" topic={r.topic} />],
                        [w("youCanRead"), r.topic.read.because],
                        [w("youCanWrite"), r.topic.write.because],
                      ]}
                    />
                  </Card>
                </Section>
              )}
            </div>
          )}
        </Await>
      </div>
    </div>
  );
}
