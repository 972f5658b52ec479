package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	kafkasasl "github.com/segmentio/kafka-go/sasl"
	kafkaplain "github.com/segmentio/kafka-go/sasl/plain"
	kafkascram "github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	xdg "github.com/xdg-go/scram"
)

const (
	metadataAge = 3 * time.Second
	sendPause   = 100 * time.Millisecond
)

func (c Command) tls() (*tls.Config, error) {
	if c.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// ends are the transactions of the op transact.
var ends = []string{"commit", "abort", "commit2"}

// every calls f each sendPause until ctx ends.
func every(ctx context.Context, f func(i int)) {
	tick := time.NewTicker(sendPause)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		f(i)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func franzGo(ctx context.Context, c Command, emit func(Event)) error {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Bootstrap), kgo.MetadataMaxAge(metadataAge), kgo.MetadataMinAge(time.Second), kgo.RecordDeliveryTimeout(15 * time.Second)}
	switch c.Mechanism {
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: c.User, Pass: c.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: c.User, Pass: c.Password}.AsSha256Mechanism()))
	default:
		opts = append(opts, kgo.SASL(scram.Auth{User: c.User, Pass: c.Password}.AsSha512Mechanism()))
	}
	if config, err := c.tls(); err != nil {
		return err
	} else if config != nil {
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if c.TxnID != "" {
		opts = append(opts, kgo.TransactionalID(c.TxnID))
	}
	if strings.HasPrefix(c.Op, "share") {
		opts = append(opts, kgo.ShareGroup(c.Group), kgo.ConsumeTopics(c.Topics...))
	} else if c.Group != "" && c.Op != "transact" {
		opts = append(opts, kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(10*time.Second))
		if c.Regex {
			opts = append(opts, kgo.ConsumeRegex())
		}
		if c.Committed {
			opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		}
		if c.Op == "consume" {
			opts = append(opts, kgo.DisableAutoCommit())
		} else {
			opts = append(opts, kgo.AutoCommitInterval(time.Second))
		}
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	sent := func(r *kgo.Record, err error) {
		if err != nil {
			emit(Event{Kind: "error", Topic: r.Topic, Text: err.Error()})
		} else {
			emit(Event{Kind: "sent", Topic: r.Topic, Value: string(r.Value)})
		}
	}
	poll := func() int {
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(topic string, _ int32, err error) {
			if ctx.Err() == nil {
				emit(Event{Kind: "error", Topic: topic, Text: err.Error()})
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { emit(Event{Kind: "record", Topic: r.Topic, Value: string(r.Value)}) })
		return fetches.NumRecords()
	}
	switch c.Op {
	case "produce":
		for _, v := range values(c) {
			cl.Produce(ctx, &kgo.Record{Topic: c.Topics[0], Value: []byte(v)}, sent)
		}
		return cl.Flush(ctx)
	case "consume":
		for got := 0; got < c.N && ctx.Err() == nil; {
			got += poll()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return cl.CommitUncommittedOffsets(ctx)
	case "share":
		for got := 0; got < c.N && ctx.Err() == nil; {
			got += poll()
			cl.MarkAcks(kgo.AckAccept)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return cl.FlushAcks(ctx)
	case "loop", "shareloop": // what was polled is accepted by the next poll
		for ctx.Err() == nil {
			poll()
		}
		return nil
	case "transact":
		for _, end := range ends {
			if err := cl.BeginTransaction(); err != nil {
				return err
			}
			var records []*kgo.Record
			for _, v := range values(c) {
				records = append(records, &kgo.Record{Topic: c.Topics[0], Value: []byte(v + "-" + end)})
			}
			if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return err
			}
			if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(end != "abort")); err != nil {
				return err
			}
			for _, r := range records {
				if end != "abort" {
					sent(r, nil)
				}
			}
		}
		return nil
	case "list":
		topics, err := kadm.NewClient(cl).ListTopicsWithInternal(ctx)
		if err == nil {
			emit(Event{Kind: "topics", Topics: topics.Names()})
		}
		return err
	case "send":
		every(ctx, func(i int) {
			for _, t := range c.Topics {
				cl.Produce(ctx, &kgo.Record{Topic: t, Value: fmt.Appendf(nil, "%s-%d", c.Prefix, i)}, sent)
			}
		})
		return nil
	}
	return fmt.Errorf("franz-go has no %s", c.Op)
}

// saramaScram is the exchange that Sarama leaves to its user.
type saramaScram struct {
	hash xdg.HashGeneratorFcn
	*xdg.ClientConversation
}

func (s *saramaScram) Begin(user, password, authzID string) error {
	client, err := s.hash.NewClient(user, password, authzID)
	if err == nil {
		s.ClientConversation = client.NewConversation()
	}
	return err
}

func saramaRun(ctx context.Context, c Command, emit func(Event)) error {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.ClientID = "sarama"
	config.Metadata.RefreshFrequency = metadataAge
	config.Net.SASL.Enable, config.Net.SASL.User, config.Net.SASL.Password = true, c.User, c.Password
	config.Net.SASL.Mechanism = sarama.SASLMechanism(c.Mechanism)
	if c.Mechanism != "PLAIN" {
		hash := xdg.SHA256
		if c.Mechanism == "SCRAM-SHA-512" {
			hash = xdg.SHA512
		}
		config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &saramaScram{hash: hash} }
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return err
	}
	config.Net.TLS.Enable, config.Net.TLS.Config = tlsConfig != nil, tlsConfig
	config.Producer.Idempotent, config.Net.MaxOpenRequests, config.Producer.RequiredAcks = true, 1, sarama.WaitForAll
	config.Producer.Return.Successes, config.Producer.Return.Errors = true, true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Return.Errors = true
	if c.Committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	config.Producer.Transaction.ID = c.TxnID
	brokers := []string{c.Bootstrap}
	send := func(p sarama.SyncProducer, topic, value string) error {
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
		return err
	}
	report := func(topic, value string, err error) {
		if err != nil {
			emit(Event{Kind: "error", Topic: topic, Text: err.Error()})
		} else {
			emit(Event{Kind: "sent", Topic: topic, Value: value})
		}
	}
	switch c.Op {
	case "list":
		client, err := sarama.NewClient(brokers, config)
		if err != nil {
			return err
		}
		defer client.Close()
		topics, err := client.Topics()
		if err == nil {
			emit(Event{Kind: "topics", Topics: topics})
		}
		return err
	case "produce", "transact", "send":
		p, err := sarama.NewSyncProducer(brokers, config)
		if err != nil {
			return err
		}
		defer p.Close()
		switch c.Op {
		case "produce":
			for _, v := range values(c) {
				err := send(p, c.Topics[0], v)
				if report(c.Topics[0], v, err); err != nil {
					return nil
				}
			}
		case "transact":
			for _, end := range ends {
				if err := p.BeginTxn(); err != nil {
					return err
				}
				for _, v := range values(c) {
					if err := send(p, c.Topics[0], v+"-"+end); err != nil {
						return err
					}
				}
				if end == "abort" {
					if err := p.AbortTxn(); err != nil {
						return err
					}
					continue
				}
				if err := p.CommitTxn(); err != nil {
					return err
				}
				for _, v := range values(c) {
					report(c.Topics[0], v+"-"+end, nil)
				}
			}
		case "send":
			every(ctx, func(i int) {
				for _, t := range c.Topics {
					v := fmt.Sprintf("%s-%d", c.Prefix, i)
					report(t, v, send(p, t, v))
				}
			})
		}
		return nil
	case "consume", "loop":
		config.Consumer.Offsets.AutoCommit.Enable = c.Op == "loop"
		g, err := sarama.NewConsumerGroup(brokers, c.Group, config)
		if err != nil {
			return err
		}
		defer g.Close()
		go func() {
			for err := range g.Errors() {
				emit(Event{Kind: "error", Text: err.Error()})
			}
		}()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		h := &saramaHandler{emit: emit, finished: cancel}
		if c.Op == "consume" {
			h.left.Store(int64(c.N))
		}
		for ctx.Err() == nil {
			if err := g.Consume(ctx, c.Topics, h); err != nil && ctx.Err() == nil {
				emit(Event{Kind: "error", Text: err.Error()})
				time.Sleep(sendPause)
			}
		}
		return nil
	}
	return fmt.Errorf("sarama has no %s", c.Op)
}

type saramaHandler struct {
	emit     func(Event)
	left     atomic.Int64 // until the commit, if there is to be one
	finished func()
}

func (*saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *saramaHandler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.emit(Event{Kind: "record", Topic: m.Topic, Value: string(m.Value)})
			s.MarkMessage(m, "")
			if h.left.Add(-1) == 0 {
				s.Commit()
				h.finished()
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func kafkaGo(ctx context.Context, c Command, emit func(Event)) error {
	var mechanism kafkasasl.Mechanism = kafkaplain.Mechanism{Username: c.User, Password: c.Password}
	if c.Mechanism != "PLAIN" {
		algorithm := kafkascram.SHA256
		if c.Mechanism == "SCRAM-SHA-512" {
			algorithm = kafkascram.SHA512
		}
		var err error
		if mechanism, err = kafkascram.Mechanism(algorithm, c.User, c.Password); err != nil {
			return err
		}
	}
	config, err := c.tls()
	if err != nil {
		return err
	}
	dialer := &kafka.Dialer{Timeout: 10 * time.Second, SASLMechanism: mechanism, TLS: config}
	writer := &kafka.Writer{Addr: kafka.TCP(c.Bootstrap), RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, MaxAttempts: 3,
		Transport: &kafka.Transport{SASL: mechanism, TLS: config, MetadataTTL: metadataAge}}
	defer writer.Close()
	switch c.Op {
	case "list":
		conn, err := dialer.DialContext(ctx, "tcp", c.Bootstrap)
		if err != nil {
			return err
		}
		defer conn.Close()
		partitions, err := conn.ReadPartitions()
		if err != nil {
			return err
		}
		e := Event{Kind: "topics"}
		for _, p := range partitions {
			if !slices.Contains(e.Topics, p.Topic) {
				e.Topics = append(e.Topics, p.Topic)
			}
		}
		emit(e)
		return nil
	case "produce":
		var messages []kafka.Message
		for _, v := range values(c) {
			messages = append(messages, kafka.Message{Topic: c.Topics[0], Value: []byte(v)})
		}
		if err := writer.WriteMessages(ctx, messages...); err != nil {
			emit(Event{Kind: "error", Topic: c.Topics[0], Text: err.Error()})
			return nil
		}
		for _, v := range values(c) {
			emit(Event{Kind: "sent", Topic: c.Topics[0], Value: v})
		}
		return nil
	case "send":
		every(ctx, func(i int) {
			for _, t := range c.Topics {
				v := fmt.Sprintf("%s-%d", c.Prefix, i)
				if err := writer.WriteMessages(ctx, kafka.Message{Topic: t, Value: []byte(v)}); err != nil {
					emit(Event{Kind: "error", Topic: t, Text: err.Error()})
				} else {
					emit(Event{Kind: "sent", Topic: t, Value: v})
				}
			}
		})
		return nil
	case "consume", "loop":
		rc := kafka.ReaderConfig{Brokers: []string{c.Bootstrap}, GroupID: c.Group, GroupTopics: c.Topics, Dialer: dialer, StartOffset: kafka.FirstOffset,
			SessionTimeout: 10 * time.Second, HeartbeatInterval: time.Second, RebalanceTimeout: 5 * time.Second, JoinGroupBackoff: 500 * time.Millisecond}
		if c.Op == "loop" {
			rc.CommitInterval = time.Second
		}
		if c.Committed {
			rc.IsolationLevel = kafka.ReadCommitted
		}
		rc.ErrorLogger = kafka.LoggerFunc(func(format string, args ...any) {
			if ctx.Err() == nil {
				emit(Event{Kind: "log", Text: fmt.Sprintf(format, args...)})
			}
		})
		r := kafka.NewReader(rc)
		defer r.Close()
		for got := 0; c.Op == "loop" || got < c.N; got++ {
			m, err := r.FetchMessage(ctx)
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				if c.Op == "loop" {
					return nil
				}
				return err
			}
			if err != nil {
				emit(Event{Kind: "error", Text: err.Error()})
				time.Sleep(sendPause)
				got--
				continue
			}
			emit(Event{Kind: "record", Topic: m.Topic, Value: string(m.Value)})
			if err := r.CommitMessages(ctx, m); err != nil {
				emit(Event{Kind: "error", Topic: m.Topic, Text: err.Error()})
			}
		}
		return nil
	}
	return fmt.Errorf("kafka-go has no %s", c.Op)
}
