package app

import (
	"testing"
	"time"

	"sluice/internal/grant"
)

func TestStandingNamesAllRights(t *testing.T) {
	granted := grant.Right{Access: grant.Granted}
	for want, topic := range map[string]grant.Topic{
		"read":                          {Read: granted},
		"read and write":                {Read: granted, Write: granted},
		"write and delete records":      {Write: granted, DeleteRecords: true},
		"read, write and alter configs": {Read: granted, Write: granted, AlterConfigs: true},
	} {
		topic.Phases = []grant.Phase{{State: grant.Open}}
		if got := standingOf(&topic, time.Now()).rights; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
