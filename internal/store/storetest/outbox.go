package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/notify"
)

// notification is one as a test adds it.
func notification(id string, channel notify.Channel, to string, after time.Duration) notify.Notification {
	at := micros(start.Add(after))
	return notify.Notification{ID: id, Channel: channel, To: to, Team: "erp", Organisation: "acme", Type: "sluice.test", Event: []byte(`{"data":"Ä\u2028"}`), Time: at, Next: at}
}

func testOutbox(t *testing.T, s Subject) {
	store := open(t, s)
	hook, second := notification("n1", notify.Webhook, "erp", 0), notification("n2", notify.Webhook, "erp", time.Second)
	mail, other := notification("n3", notify.Email, "a@example.com", 0), notification("n4", notify.Webhook, "shop", -time.Minute)
	other.Team, other.Organisation = "shop", "corp"
	write(t, store, func(w control.Writer) error {
		return errors.Join(w.AddNotification(hook), w.AddNotification(second), w.AddNotification(mail), w.AddNotification(other))
	})
	list := func(q notify.Query, more bool, want ...notify.Notification) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, is, err := r.Notifications(q)
			same(t, fmt.Sprintf("%+v", q), got, want)
			if is != more {
				t.Errorf("%+v: more is %v", q, is)
			}
			return err
		})
	}
	due := func(after time.Duration, limit int, want ...notify.Notification) {
		t.Helper()
		read(t, store, func(r control.Reader) error {
			got, err := r.DueNotifications(start.Add(after), limit)
			same(t, fmt.Sprintf("due after %v", after), got, want)
			return err
		})
	}
	list(notify.Query{Limit: 10}, false, hook, second, mail, other)
	list(notify.Query{Limit: 2}, true, hook, second)
	list(notify.Query{Limit: 2, After: "n2"}, false, mail, other)
	list(notify.Query{Team: "shop"}, false, other)
	list(notify.Query{Organisation: "acme", Limit: 1}, true, hook)
	list(notify.Query{Failed: true}, false)
	// Of each receiver the oldest only, also while that one waits for another attempt.
	due(-time.Hour, 10)
	due(-time.Second, 10, other)
	due(time.Minute, 10, other, hook, mail)
	due(time.Minute, 1, other)
	hook.Attempts, hook.Problem, hook.Next = 3, "status 500", micros(start.Add(time.Hour))
	write(t, store, func(w control.Writer) error { return w.PutAttempt(hook) })
	due(time.Minute, 10, other, mail)
	list(notify.Query{Team: "erp", Limit: 1}, true, hook)
	// What was given up is in nobody's way, and goes some day.
	hook.Failed = micros(start.Add(time.Hour))
	write(t, store, func(w control.Writer) error { return w.PutAttempt(hook) })
	due(time.Minute, 10, other, mail, second)
	list(notify.Query{Failed: true}, false, hook)
	write(t, store, func(w control.Writer) error { return w.SweepNotifications(hook.Failed) })
	list(notify.Query{Failed: true}, false, hook)
	write(t, store, func(w control.Writer) error {
		return errors.Join(w.SweepNotifications(hook.Failed.Add(time.Second)), w.RemoveNotification("n3"), w.RemoveNotification("n3"), w.PutAttempt(mail))
	})
	list(notify.Query{}, false, second, other)

	for name, change := range map[string]func(*notify.Notification){
		"no receiver":                 func(n *notify.Notification) { n.To = "" },
		"no time":                     func(n *notify.Notification) { n.Time = time.Time{} },
		"a zero byte":                 func(n *notify.Notification) { n.Event = []byte("a\x00") },
		"an event that is no text":    func(n *notify.Notification) { n.Event = []byte("\xff") },
		"an event larger than it may": func(n *notify.Notification) { n.Event = make([]byte, notify.MaxEventBytes+1) },
		"an id that is there":         func(n *notify.Notification) { n.ID = "n2" },
	} {
		n := notification("wrong", notify.Email, "x@example.com", 0)
		change(&n)
		if err := store.Write(t.Context(), func(w control.Writer) error { return w.AddNotification(n) }); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	// Too many for one receiver push out the oldest of its own.
	write(t, store, func(w control.Writer) error {
		for i := range notify.MaxWaiting {
			if err := w.AddNotification(notification(fmt.Sprint("many", i), notify.Webhook, "erp", time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	read(t, store, func(r control.Reader) error {
		all, _, err := r.Notifications(notify.Query{})
		if err == nil && (len(all) != notify.MaxWaiting+1 || all[0].ID != "n4" || all[1].ID != "many0") {
			t.Errorf("%d are there, the first ones %s and %s", len(all), all[0].ID, all[1].ID)
		}
		return err
	})
}
