package story

import (
	"testing"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

var kafka *kafkatest.Cluster

func TestMain(m *testing.M) { harness.Main(m, kafkatest.Options{}, &kafka) }
