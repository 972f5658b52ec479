// One program for kafkajs. argv: a command as JSON (conformance.Command). It prints one JSON object per event.
'use strict'
const fs = require('fs')
const { Kafka, logLevel } = require(process.env.NODE_MODULES + '/kafkajs')
const cmd = JSON.parse(process.argv.at(-1))
const { op, topics = [], group, n = 0, prefix = '' } = cmd
const values = Array.from({ length: n }, (_, i) => `${prefix}-${i}`)
const emit = (kind, fields) => process.stdout.write(JSON.stringify({ kind, ...fields }) + '\n')
const error = (e, topic = '') => emit('error', { topic, text: `${e.name}: ${e.message}` })
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const kafka = new Kafka({
  clientId: 'kafkajs',
  brokers: [cmd.bootstrap],
  ssl: cmd.ca ? { ca: [fs.readFileSync(cmd.ca)] } : false,
  sasl: { mechanism: cmd.mechanism.toLowerCase(), username: cmd.user, password: cmd.password },
  logLevel: logLevel.ERROR,
  logCreator: () => ({ log }) => process.stderr.write(JSON.stringify(log) + '\n'),
})
const metadataMaxAge = 3000
const newProducer = (more) => kafka.producer({ idempotent: true, maxInFlightRequests: 1, metadataMaxAge, ...more })

const ops = {
  async produce() {
    const p = newProducer()
    await p.connect()
    try {
      await p.send({ topic: topics[0], messages: values.map((value) => ({ value })) })
      for (const value of values) emit('sent', { topic: topics[0], value })
    } catch (e) {
      error(e, topics[0])
    }
    await p.disconnect()
  },

  async consume() {
    const c = kafka.consumer({ groupId: group, sessionTimeout: 10000, metadataMaxAge, readUncommitted: !cmd.committed })
    await c.connect()
    await c.subscribe({ topics, fromBeginning: true })
    let got = 0
    await new Promise((resolve, reject) => {
      c.on(c.events.CRASH, (e) => error(e.payload.error))
      c.run({
        autoCommit: false,
        eachMessage: async ({ topic, partition, message }) => {
          emit('record', { topic, value: message.value.toString() })
          await c.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
          if (++got === n) resolve()
        },
      }).catch(reject)
    })
    await c.disconnect()
  },

  async loop() {
    const c = kafka.consumer({ groupId: group, sessionTimeout: 10000, metadataMaxAge })
    c.on(c.events.CRASH, (e) => emit('error', { topic: '', text: `CRASH restart=${e.payload.restart} ${e.payload.error.message}` }))
    await c.connect()
    await c.subscribe({ topics: cmd.regex ? [new RegExp(`^(${topics.join('|')})$`)] : topics, fromBeginning: true })
    await c.run({ autoCommitInterval: 1000, eachMessage: async ({ topic, message }) => emit('record', { topic, value: message.value.toString() }) })
    await new Promise(() => setInterval(() => {}, 1000))
  },

  async transact() {
    const p = newProducer({ transactionalId: cmd.txn })
    await p.connect()
    for (const end of ['commit', 'abort', 'commit2']) {
      const t = await p.transaction()
      await t.send({ topic: topics[0], messages: values.map((v) => ({ value: `${v}-${end}` })) })
      if (end === 'abort') {
        await t.abort()
      } else {
        await t.commit()
        for (const v of values) emit('sent', { topic: topics[0], value: `${v}-${end}` })
      }
    }
    await p.disconnect()
  },

  async list() {
    const a = kafka.admin()
    await a.connect()
    emit('topics', { topics: (await a.listTopics()).sort() })
    await a.disconnect()
  },

  async send() {
    const p = newProducer({ retry: { retries: 2 } })
    await p.connect()
    for (let i = 0; ; i++) {
      await Promise.all(topics.map(async (topic) => {
        const value = `${prefix}-${i}`
        try {
          await p.send({ topic, messages: [{ value }] })
          emit('sent', { topic, value })
        } catch (e) {
          error(e, topic)
        }
      }))
      await sleep(100)
    }
  },
}

process.on('unhandledRejection', (e) => { error(e); process.exit(1) })
ops[op]().then(() => process.exit(0), (e) => { error(e); process.exit(1) })
