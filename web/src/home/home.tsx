import { ButtonLink } from "../ui/button";
import { Heading, useTitle } from "../ui/page";
import { w } from "../words/home";

export default function Home() {
  useTitle(w("title"));
  return (
    <div className="max-w-[34rem] py-2 wide:py-8">
      <Heading className="text-[2rem] leading-[2.375rem] font-bold tracking-[-0.034em] wide:text-3xl">{w("title")}</Heading>
      <p className="mt-4 mb-6 max-w-[30rem] text-[1.0625rem] leading-7 text-pretty text-ink-2">{w("lead")}</p>
      <ButtonLink kind="primary" size="lg" to="/catalog">{w("browse")}</ButtonLink>
    </div>
  );
}
