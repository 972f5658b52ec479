package sqlstore

import (
	"database/sql"
	"fmt"
	"time"

	"sluice/internal/control/notify"
)

const notificationColumns = "id, channel, receiver, team, organisation, type, event, time, next, attempts, problem, failed"

func scanNotification(rows *sql.Rows) (n notify.Notification, err error) {
	var event string
	var at, next, failed micros
	err = rows.Scan(&n.ID, &n.Channel, &n.To, &n.Team, &n.Organisation, &n.Type, &event, &at, &next, &n.Attempts, &n.Problem, &failed)
	n.Event, n.Time, n.Next, n.Failed = []byte(event), at.Time, next.Time, failed.Time
	return n, err
}

// Notifications returns a page of the outbox.
func (v *view) Notifications(q notify.Query) ([]notify.Notification, bool, error) {
	var c conditions
	if q.Team != "" {
		c.and("team = ?", q.Team)
	}
	if q.Organisation != "" {
		c.and("organisation = ?", q.Organisation)
	}
	if q.Failed {
		c.and("failed > ?", int64(0))
	}
	if q.After != "" {
		c.and("seq > (SELECT COALESCE(MAX(seq), 0) FROM outbox WHERE id = ?)", q.After)
	}
	limit := c.value(atMost(q.Limit))
	all, err := collect(v, scanNotification, "SELECT "+notificationColumns+" FROM outbox"+c.where()+" ORDER BY seq LIMIT "+limit, c.args...)
	if err != nil {
		return nil, false, fmt.Errorf("list notifications: %w", err)
	}
	page, more := cut(all, q.Limit)
	return page, more, nil
}

// DueNotifications returns the heads of lanes that are due.
func (v *view) DueNotifications(now time.Time, limit int) ([]notify.Notification, error) {
	all, err := collect(v, scanNotification, "SELECT "+notificationColumns+` FROM outbox
		WHERE seq IN (SELECT MIN(seq) FROM outbox WHERE failed IS NULL GROUP BY lane) AND next <= $1 ORDER BY next, seq LIMIT $2`, micros{now}, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("find notifications that are due: %w", err)
	}
	return all, nil
}

// AddNotification puts one behind all others.
func (w *writer) AddNotification(n notify.Notification) error {
	if err := w.addNotification(n); err != nil {
		return fmt.Errorf("add notification %s: %w", n.ID, err)
	}
	return nil
}

func (w *writer) addNotification(n notify.Notification) error {
	if err := checkTexts(n.ID, n.To, n.Team, n.Organisation, n.Type, string(n.Event), n.Problem); err != nil {
		return err
	}
	switch {
	case n.ID == "" || n.To == "" || n.Time.IsZero() || n.Next.IsZero():
		return fmt.Errorf("it has no id, receiver or time")
	case len(n.Event) > notify.MaxEventBytes:
		return fmt.Errorf("the event has %d bytes, more than %d", len(n.Event), notify.MaxEventBytes)
	}
	seq, err := w.number("SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox")
	if err != nil {
		return err
	}
	if err := w.exec("INSERT INTO outbox (seq, lane, "+notificationColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
		seq, n.Lane(), n.ID, string(n.Channel), n.To, n.Team, n.Organisation, n.Type, string(n.Event), micros{n.Time}, micros{n.Next}, int64(n.Attempts), n.Problem, micros{n.Failed}); err != nil {
		return err
	}
	// The one at MaxWaiting from the end, and what is older, makes room.
	return w.exec("DELETE FROM outbox WHERE lane = $1 AND seq <= (SELECT seq FROM outbox WHERE lane = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)", n.Lane(), int64(notify.MaxWaiting))
}

// PutAttempt writes down how an attempt went.
func (w *writer) PutAttempt(n notify.Notification) error {
	err := checkTexts(n.Problem)
	if err == nil {
		err = w.exec("UPDATE outbox SET attempts = $2, problem = $3, next = $4, failed = $5 WHERE id = $1", n.ID, int64(n.Attempts), n.Problem, micros{n.Next}, micros{n.Failed})
	}
	if err != nil {
		return fmt.Errorf("put an attempt of notification %s: %w", n.ID, err)
	}
	return nil
}

// RemoveNotification removes one.
func (w *writer) RemoveNotification(id string) error {
	if err := w.exec("DELETE FROM outbox WHERE id = $1", id); err != nil {
		return fmt.Errorf("remove notification %s: %w", id, err)
	}
	return nil
}

// SweepNotifications removes those that were given up before a moment.
func (w *writer) SweepNotifications(before time.Time) error {
	if err := w.exec("DELETE FROM outbox WHERE failed < $1", micros{before}); err != nil {
		return fmt.Errorf("sweep notifications: %w", err)
	}
	return nil
}
