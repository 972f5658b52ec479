import { Fragment } from "react";

/** The name of a topic, which may break behind its dots and nowhere else where that does. */
export function TopicName({ name }: { name: string }) {
  return name.split(/(?<=[._-])/).map((part, i) => (
    <Fragment key={i}>
      {i > 0 && <wbr />}
      {part}
    </Fragment>
  ));
}
