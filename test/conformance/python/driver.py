"""One program for the Python client libraries. argv: the library, and a command as JSON (conformance.Command).
It prints one JSON object per event (conformance.Event)."""
import asyncio, json, sys, time, traceback

LIB, CMD = sys.argv[1], json.loads(sys.argv[2])
OP, TOPICS, GROUP, N, PREFIX = CMD["op"], CMD.get("topics") or [], CMD.get("group", ""), CMD.get("n", 0), CMD.get("prefix", "")
VALUES = [f"{PREFIX}-{i}" for i in range(N)]
PATTERN = "^(" + "|".join(TOPICS) + ")$" if CMD.get("regex") else ""
METADATA_MS, PAUSE = 3000, 0.1


def emit(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def error(e, topic=""):
    emit("error", topic=topic, text=f"{type(e).__name__}: {e}")


class Librdkafka:
    def conf(self, **more):
        c = {"bootstrap.servers": CMD["bootstrap"], "security.protocol": "SASL_SSL" if CMD.get("ca") else "SASL_PLAINTEXT", "sasl.mechanism": CMD["mechanism"],
             "sasl.username": CMD["user"], "sasl.password": CMD["password"], "topic.metadata.refresh.interval.ms": METADATA_MS,
             "error_cb": lambda e: emit("log", text=str(e))}
        if CMD.get("ca"):
            c["ssl.ca.location"] = CMD["ca"]
        return {**c, **{k.replace("_", "."): v for k, v in more.items()}}

    def producer(self, **more):
        from confluent_kafka import Producer
        return Producer(self.conf(enable_idempotence=True, linger_ms=5, message_timeout_ms=10000, **more))

    def report(self, err, msg):
        if err:
            emit("error", topic=msg.topic(), text=f"{err.name()} {err.str()}")
        else:
            emit("sent", topic=msg.topic(), value=msg.value().decode())

    def produce(self):
        p = self.producer()
        for v in VALUES:
            p.produce(TOPICS[0], v, on_delivery=self.report)
        p.flush(20)

    def consumer(self, **more):
        from confluent_kafka import Consumer
        c = Consumer(self.conf(group_id=GROUP, auto_offset_reset="earliest", isolation_level="read_committed" if CMD.get("committed") else "read_uncommitted",
                               session_timeout_ms=10000, auto_commit_interval_ms=1000, **more))
        c.subscribe([PATTERN] if PATTERN else TOPICS)
        return c

    def consume(self):
        c, got = self.consumer(enable_auto_commit=False), 0
        while got < N:
            m = c.poll(1)
            if m is None:
                continue
            if m.error():
                emit("error", topic=m.topic() or "", text=str(m.error()))
                continue
            emit("record", topic=m.topic(), value=m.value().decode())
            got += 1
        c.commit(asynchronous=False)
        c.close()

    def loop(self):
        c = self.consumer()
        while True:
            m = c.poll(1)
            if m is None:
                continue
            if m.error():
                emit("error", topic=m.topic() or "", text=str(m.error()))
            else:
                emit("record", topic=m.topic(), value=m.value().decode())

    def transact(self):
        p = self.producer(transactional_id=CMD["txn"])
        p.init_transactions(20)
        for end in ("commit", "abort", "commit2"):
            p.begin_transaction()
            for v in VALUES:
                p.produce(TOPICS[0], f"{v}-{end}")
            if end == "abort":
                p.flush(20)
                p.abort_transaction(20)
            else:
                p.commit_transaction(20)
                for v in VALUES:
                    emit("sent", topic=TOPICS[0], value=f"{v}-{end}")

    def refused(self):
        """A transaction that meets a refused topic must be abortable, and the producer usable after it."""
        p = self.producer(transactional_id=CMD["txn"])
        p.init_transactions(20)
        p.begin_transaction()
        for t in TOPICS:
            p.produce(t, f"{PREFIX}-abort", on_delivery=lambda err, m: emit("error", topic=m.topic(), text=str(err)) if err else None)
        p.flush(20)
        p.abort_transaction(20)
        p.begin_transaction()
        p.produce(TOPICS[0], f"{PREFIX}-commit")
        p.commit_transaction(20)
        emit("sent", topic=TOPICS[0], value=f"{PREFIX}-commit")

    def list(self):
        from confluent_kafka.admin import AdminClient
        emit("topics", topics=sorted(AdminClient(self.conf()).list_topics(timeout=15).topics))

    def send(self):
        p, i = self.producer(), 0
        while True:
            for t in TOPICS:
                p.produce(t, f"{PREFIX}-{i}", on_delivery=self.report)
            i += 1
            p.poll(PAUSE)
            time.sleep(PAUSE)


class KafkaPython:
    def conf(self, **more):
        c = dict(bootstrap_servers=CMD["bootstrap"], security_protocol="SASL_SSL" if CMD.get("ca") else "SASL_PLAINTEXT", sasl_mechanism=CMD["mechanism"],
                 sasl_plain_username=CMD["user"], sasl_plain_password=CMD["password"])
        if CMD.get("ca"):
            c["ssl_cafile"] = CMD["ca"]
        return {**c, **more}

    def producer(self, **more):
        from kafka import KafkaProducer
        return KafkaProducer(**self.conf(metadata_max_age_ms=METADATA_MS, enable_idempotence=True, max_block_ms=10000, delivery_timeout_ms=15000, request_timeout_ms=10000, **more))

    def deliver(self, p, topic, value):
        try:
            p.send(topic, value.encode()).get(15)
            emit("sent", topic=topic, value=value)
        except Exception as e:
            error(e, topic)

    def produce(self):
        p = self.producer()
        futures = []
        for v in VALUES:
            try:
                futures.append((v, p.send(TOPICS[0], v.encode())))
            except Exception as e:
                return error(e, TOPICS[0])
        for v, f in futures:
            try:
                f.get(15)
                emit("sent", topic=TOPICS[0], value=v)
            except Exception as e:
                error(e, TOPICS[0])
        p.close(5)

    def consumer(self, **more):
        from kafka import KafkaConsumer
        c = KafkaConsumer(**self.conf(group_id=GROUP, auto_offset_reset="earliest", metadata_max_age_ms=METADATA_MS, session_timeout_ms=10000, auto_commit_interval_ms=1000,
                             isolation_level="read_committed" if CMD.get("committed") else "read_uncommitted", **more))
        c.subscribe(**({"pattern": PATTERN} if PATTERN else {"topics": TOPICS}))
        return c

    def records(self, c):
        for p, rs in c.poll(timeout_ms=1000).items():
            for r in rs:
                emit("record", topic=r.topic, value=r.value.decode())
                yield r

    def consume(self):
        c, got = self.consumer(enable_auto_commit=False, max_poll_records=max(1, N)), 0
        while got < N:
            got += len(list(self.records(c)))
        c.commit()
        c.close()

    def loop(self):
        c = self.consumer()
        while True:
            try:
                for _ in self.records(c):
                    pass
            except Exception as e:
                error(e)
                time.sleep(PAUSE)

    def transact(self):
        p = self.producer(transactional_id=CMD["txn"])
        p.init_transactions()
        for end in ("commit", "abort", "commit2"):
            p.begin_transaction()
            for v in VALUES:
                p.send(TOPICS[0], f"{v}-{end}".encode())
            p.flush(20)
            if end == "abort":
                p.abort_transaction()
            else:
                p.commit_transaction()
                for v in VALUES:
                    emit("sent", topic=TOPICS[0], value=f"{v}-{end}")
        p.close(5)

    def list(self):
        from kafka import KafkaAdminClient
        a = KafkaAdminClient(**self.conf())
        emit("topics", topics=sorted(t if isinstance(t, str) else t["name"] for t in a.list_topics()))
        a.close()

    def send(self):
        p, i = self.producer(), 0
        while True:
            for t in TOPICS:
                self.deliver(p, t, f"{PREFIX}-{i}")
            i += 1
            time.sleep(PAUSE)


class AIOKafka:
    def conf(self, **more):
        c = dict(bootstrap_servers=CMD["bootstrap"], security_protocol="SASL_SSL" if CMD.get("ca") else "SASL_PLAINTEXT", sasl_mechanism=CMD["mechanism"],
                 sasl_plain_username=CMD["user"], sasl_plain_password=CMD["password"])
        if CMD.get("ca"):
            import ssl
            c["ssl_context"] = ssl.create_default_context(cafile=CMD["ca"])
        return {**c, **more}

    def run(self, f):
        asyncio.run(f())

    def producer(self, **more):
        from aiokafka import AIOKafkaProducer
        return AIOKafkaProducer(**self.conf(metadata_max_age_ms=METADATA_MS, enable_idempotence=True, request_timeout_ms=10000, **more))

    def consumer(self, **more):
        from aiokafka import AIOKafkaConsumer
        c = AIOKafkaConsumer(**self.conf(group_id=GROUP, auto_offset_reset="earliest", metadata_max_age_ms=METADATA_MS, session_timeout_ms=10000, auto_commit_interval_ms=1000,
                                isolation_level="read_committed" if CMD.get("committed") else "read_uncommitted", **more))
        c.subscribe(**({"pattern": PATTERN} if PATTERN else {"topics": TOPICS}))
        return c

    async def deliver(self, p, topic, value):
        try:
            await asyncio.wait_for(p.send_and_wait(topic, value.encode()), 12)
            emit("sent", topic=topic, value=value)
        except Exception as e:
            error(e, topic)

    def produce(self):
        async def f():
            p = self.producer()
            await p.start()
            await asyncio.gather(*(self.deliver(p, TOPICS[0], v) for v in VALUES))
            await p.stop()
        self.run(f)

    def consume(self):
        async def f():
            c, got = self.consumer(enable_auto_commit=False), 0
            await c.start()
            while got < N:
                r = await c.getone()
                emit("record", topic=r.topic, value=r.value.decode())
                got += 1
            await c.commit()
            await c.stop()
        self.run(f)

    def loop(self):
        async def f():
            c = self.consumer()
            await c.start()
            while True:
                try:
                    for rs in (await c.getmany(timeout_ms=1000)).values():
                        for r in rs:
                            emit("record", topic=r.topic, value=r.value.decode())
                except Exception as e:
                    error(e)
                    await asyncio.sleep(PAUSE)
        self.run(f)

    def transact(self):
        async def f():
            p = self.producer(transactional_id=CMD["txn"])
            await p.start()
            for end in ("commit", "abort", "commit2"):
                await p.begin_transaction()
                for v in VALUES:
                    await p.send_and_wait(TOPICS[0], f"{v}-{end}".encode())
                if end == "abort":
                    await p.abort_transaction()
                else:
                    await p.commit_transaction()
                    for v in VALUES:
                        emit("sent", topic=TOPICS[0], value=f"{v}-{end}")
            await p.stop()
        self.run(f)

    def list(self):
        async def f():
            from aiokafka.admin import AIOKafkaAdminClient
            a = AIOKafkaAdminClient(**self.conf())
            await a.start()
            emit("topics", topics=sorted(await a.list_topics()))
            await a.close()
        self.run(f)

    def send(self):
        async def f():
            p, i = self.producer(), 0
            await p.start()
            while True:
                await asyncio.gather(*(self.deliver(p, t, f"{PREFIX}-{i}") for t in TOPICS))
                i += 1
                await asyncio.sleep(PAUSE)
        self.run(f)


try:
    getattr({"librdkafka": Librdkafka, "kafka-python": KafkaPython, "aiokafka": AIOKafka}[LIB](), OP)()
except Exception as e:
    traceback.print_exc()
    error(e)
    sys.exit(1)
