package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tailSettings are what tail is told.
type tailSettings struct {
	connection
	from, group, output string
	count               int
	follow              bool
}

func newTail(s Streams) *cobra.Command {
	t := &tailSettings{}
	cmd := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Print the records of a topic",
		Long: `Print the records of a topic as they arrive, as a Kafka client of the gateway.
On a line: time, partition@offset, key, value. With -n or --follow=false it ends
by itself.`,
		Example: `  sluice tail orders.placed --properties client.properties
  sluice tail orders.placed -u acme-1 --password-file acme.secret -n 10 --from beginning -o json`,
		Args: exactly(1, "the topic"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.complete(); err != nil {
				return err
			}
			return t.run(cmd.Context(), s, args[0])
		},
	}
	t.add(cmd)
	f := cmd.Flags()
	f.StringVar(&t.from, "from", "", "beginning, end, or a number of records before the end of each partition (default 10, with --group where it stands)")
	f.IntVarP(&t.count, "count", "n", 0, "end after so many records")
	f.StringVarP(&t.group, "group", "g", "", "read as a member of this consumer group, and commit")
	f.BoolVar(&t.follow, "follow", true, "wait for new records at the end of the topic")
	f.StringVarP(&t.output, "output", "o", formatText, "text, json (one object per line) or raw (values only)")
	return cmd
}

// start turns --from into an offset.
func (t *tailSettings) start() (kgo.Offset, error) {
	switch t.from {
	case "":
		if t.group != "" {
			return kgo.NewOffset().AtStart(), nil
		}
		return kgo.NewOffset().AtEnd().Relative(-10), nil
	case "beginning":
		return kgo.NewOffset().AtStart(), nil
	case "end":
		return kgo.NewOffset().AtEnd(), nil
	}
	n, err := strconv.ParseInt(t.from, 10, 64)
	if err != nil || n < 0 {
		return kgo.Offset{}, usagef("--from %q is not beginning, end or a number of records", t.from)
	}
	return kgo.NewOffset().AtEnd().Relative(-n), nil
}

func (t *tailSettings) run(ctx context.Context, s Streams, topic string) error {
	from, err := t.start()
	if err != nil {
		return err
	}
	switch {
	case t.output != formatText && t.output != formatJSON && t.output != formatRaw:
		return usagef("-o %q is not text, json or raw", t.output)
	case t.count < 0:
		return usagef("-n %d is negative", t.count)
	case t.group != "" && !t.follow:
		return usagef("--follow=false reads to the end, which a group does not know: use -n")
	}
	lost := make(lostConnections, 1)
	opts := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(from), kgo.FetchMaxWait(time.Second), kgo.KeepRetryableFetchErrors(), kgo.WithHooks(lost)}
	if t.group != "" {
		opts = append(opts, kgo.ConsumerGroup(t.group), kgo.DisableAutoCommit())
	}
	client, err := t.client(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := t.connect(ctx, client); err != nil {
		return quietly(ctx, err)
	}
	partitions, err := t.describe(ctx, client, topic)
	if err != nil {
		return quietly(ctx, err)
	}
	var until map[int32]int64
	if !t.follow {
		if until, err = t.ends(ctx, client, topic, partitions); err != nil {
			return quietly(ctx, err)
		}
		if len(until) == 0 {
			return nil
		}
	}
	out := bufio.NewWriter(s.Out)
	p := printer{w: out, style: styleOf(s.Out), format: t.output}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	refused := make(chan error, 1)
	go func() {
		defer stop()
		refused <- t.watch(ctx, client, lost, s.Err)
	}()
	err = t.consume(ctx, client, &p, out, s.Err, topic, until)
	stop()
	if why := <-refused; err == nil {
		err = why
	}
	return err
}

// lostConnections gets a value when the client has lost a connection, which it would
// replace in silence for ever.
type lostConnections chan struct{}

// OnBrokerDisconnect is called by the client.
func (l lostConnections) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	select {
	case l <- struct{}{}:
	default: // one that is not looked at yet is enough
	}
}

// watch asks, whenever a connection is lost, whether the gateway still lets us in: a
// credential that was revoked, has expired or was replaced is no reason to wait, and is
// returned. What may pass it says once.
func (t *tailSettings) watch(ctx context.Context, client *kgo.Client, lost lostConnections, warnings io.Writer) error {
	failures, told := 0, ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
		}
		err := client.Ping(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures, told = 0, ""
		case errors.Is(err, kerr.SaslAuthenticationFailed):
			return fmt.Errorf("the connection was closed, and %w", t.explain(err))
		default:
			failures++ // the first one may be of another connection that is being closed
			if text := t.explain(err).Error(); failures > 1 && text != told {
				fmt.Fprintf(warnings, "the connection is lost; trying again: %s\n", text)
				told = text
			}
			select { // the gateway may be starting again
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
			lost.OnBrokerDisconnect(kgo.BrokerMetadata{}, nil)
		}
	}
}

// describe asks for the topic, so that a refusal is told and not waited out.
func (t *tailSettings) describe(ctx context.Context, client *kgo.Client, topic string) (kadm.TopicDetail, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return kadm.TopicDetail{}, refusal(t.explain(err), topic, "read")
	}
	detail := topics[topic]
	if detail.Err != nil {
		return detail, refusal(detail.Err, topic, "read")
	}
	return detail, nil
}

// ends returns the offsets at which reading is done, for partitions that have
// something to read.
func (t *tailSettings) ends(ctx context.Context, client *kgo.Client, topic string, detail kadm.TopicDetail) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	last, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	first, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if t.from == "end" {
		return nil, nil
	}
	until := map[int32]int64{}
	for p := range detail.Partitions {
		end, _ := last.Lookup(topic, p)
		begin, _ := first.Lookup(topic, p)
		if end.Err != nil {
			return nil, refusal(end.Err, topic, "read")
		}
		if end.Offset > begin.Offset {
			until[p] = end.Offset
		}
	}
	return until, nil
}

// silence is how long no record comes before that is remarked upon, once.
const silence = 5 * time.Second

func (t *tailSettings) consume(ctx context.Context, client *kgo.Client, p *printer, out *bufio.Writer, warnings io.Writer, topic string, until map[int32]int64) error {
	told, heard := false, time.Now()
	for printed := 0; ; {
		most := 1000
		if t.count > 0 {
			most = min(most, t.count-printed)
		}
		patience, cancel := context.WithCancel(ctx)
		if !told {
			patience, cancel = context.WithDeadline(ctx, heard.Add(silence))
		}
		fetches := client.PollRecords(patience, most)
		expired := patience.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return out.Flush()
		}
		if fetches.NumRecords() > 0 {
			heard = time.Now()
		} else if expired {
			fmt.Fprintf(warnings, "waiting for records of %q at %s (none for %v; a topic whose subscription was suspended or ended falls silent)\n", topic, t.bootstrap, silence)
			told = true
		}
		if err := fetchError(fetches); err != nil && !(expired && errors.Is(err, context.DeadlineExceeded)) {
			if !transient(err) {
				out.Flush()
				return refusal(t.explain(err), topic, "read")
			}
			continue
		}
		for _, r := range fetches.Records() {
			if end, known := until[r.Partition]; until != nil && (!known || r.Offset >= end) {
				continue
			}
			if err := p.print(r); err != nil {
				return err
			}
			printed++
			if until != nil && r.Offset+1 >= until[r.Partition] {
				delete(until, r.Partition)
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if t.group != "" {
			if err := client.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
				return refusal(fmt.Errorf("commit: %w", t.explain(err)), topic, "read")
			}
		}
		if t.count > 0 && printed >= t.count || until != nil && len(until) == 0 {
			return nil
		}
	}
}

// transient reports whether the client gets over an error by itself.
func transient(err error) bool {
	var kafka *kerr.Error
	if errors.As(err, &kafka) {
		return kafka.Retriable && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.UnknownTopicID)
	}
	var lost *kgo.ErrDataLoss
	return errors.As(err, &lost)
}

// quietly drops an error that Ctrl-C caused.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// produceSettings are what produce is told.
type produceSettings struct {
	connection
	separator string
	quiet     bool
}

func newProduce(s Streams) *cobra.Command {
	p := &produceSettings{}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records to a topic, one per line of the input",
		Long: `Write records to a topic, one per line of the input: KEY<TAB>VALUE, or VALUE
alone. For each one partition@offset is printed once the broker has it, or why
it was refused; then the exit code is 1.`,
		Example: `  sluice produce orders.feedback --properties client.properties < feedback.tsv
  printf 'ord-1\t{"stars": 5}\n' | sluice produce orders.feedback --properties client.properties`,
		Args: exactly(1, "the topic"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.complete(); err != nil {
				return err
			}
			return p.run(cmd.Context(), s, args[0])
		},
	}
	p.add(cmd)
	cmd.Flags().StringVar(&p.separator, "separator", "\t", "what stands between key and value")
	cmd.Flags().BoolVarP(&p.quiet, "quiet", "q", false, "print nothing but refusals")
	return cmd
}

// maxLine is the longest line of the input, in bytes.
const maxLine = 64 << 20

func (p *produceSettings) run(ctx context.Context, s Streams, topic string) error {
	if p.separator == "" {
		return usagef("--separator is empty")
	}
	client, err := p.client(kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(5*time.Millisecond), kgo.RecordDeliveryTimeout(30*time.Second), kgo.ProducerBatchMaxBytes(1<<20), kgo.MaxBufferedRecords(1000))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := p.connect(ctx, client); err != nil {
		return quietly(ctx, err)
	}
	if terminal(s.In) {
		fmt.Fprintf(s.Err, "one record per line, KEY<TAB>VALUE or VALUE; end with Ctrl-D\n")
	}
	// Lines are read by a goroutine of its own, which is left behind when the
	// input does not end but we do.
	lines, readErr := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(s.In)
		in.Buffer(make([]byte, 64<<10), maxLine)
		for in.Scan() {
			select {
			case lines <- []byte(in.Text()):
			case <-ctx.Done():
				return
			}
		}
		readErr <- in.Err()
	}()
	results := newResults(s, p.quiet, topic)
	results.visible = sync.OnceValue(func() bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
		return err == nil && topics.Has(topic) && topics[topic].Err == nil
	})
	defer results.close()
	for line := range lines {
		r := &kgo.Record{Value: line}
		if key, value, found := strings.Cut(string(line), p.separator); found {
			r.Key, r.Value = []byte(key), []byte(value)
		}
		client.Produce(ctx, r, results.add())
	}
	if err := client.Flush(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	results.close()
	select {
	case err := <-readErr:
		if err != nil {
			return fmt.Errorf("read the input: %w", err)
		}
	default:
	}
	if results.refused > 0 {
		return errTold
	}
	return nil
}

// results prints what became of each record, in the order of the input.
type results struct {
	s       Streams
	quiet   bool
	topic   string
	queue   chan chan outcome
	done    chan struct{}
	closed  bool
	refused int
	line    int
	// visible reports whether the topic is in this application's metadata.
	visible func() bool
}

type outcome struct {
	record *kgo.Record
	err    error
}

func newResults(s Streams, quiet bool, topic string) *results {
	r := &results{s: s, quiet: quiet, topic: topic, queue: make(chan chan outcome, 1000), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for next := range r.queue {
			r.tell(<-next)
		}
	}()
	return r
}

// add returns what to call with the fate of the next record.
func (r *results) add() func(*kgo.Record, error) {
	fate := make(chan outcome, 1)
	r.queue <- fate
	return func(record *kgo.Record, err error) { fate <- outcome{record, err} }
}

func (r *results) tell(o outcome) {
	r.line++
	switch {
	case o.err != nil && errors.Is(o.err, context.Canceled):
		r.refused++
	case errors.Is(o.err, kerr.TopicAuthorizationFailed) && r.visible():
		r.refused++
		fmt.Fprintf(r.s.Err, "line %d: refused: this application may read topic %q but not write it (%s)\n", r.line, r.topic, kerr.TopicAuthorizationFailed.Message)
	case o.err != nil:
		r.refused++
		fmt.Fprintf(r.s.Err, "line %d: %v\n", r.line, refusal(o.err, r.topic, "write"))
	case !r.quiet:
		fmt.Fprintf(r.s.Out, "%d@%d\n", o.record.Partition, o.record.Offset)
	}
}

// close waits until everything is told.
func (r *results) close() {
	if !r.closed {
		r.closed = true
		close(r.queue)
		<-r.done
	}
}
