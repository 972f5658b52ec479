package gateway

import (
	"testing"

	"sluice/internal/kafka/wire"
)

// A cluster's own epoch of its features is an offset in its metadata: it would tell everybody, before the login too, how
// much goes on there.
func TestTheEpochOfFeaturesGrowsWithTheirLevelsOnly(t *testing.T) {
	before := []wire.FeatureRange{{Name: "group.version", Max: 1}, {Name: "transaction.version", Max: 1}}
	after := []wire.FeatureRange{{Name: "group.version", Max: 1}, {Name: "transaction.version", Max: 2}}
	if featuresEpoch(before) >= featuresEpoch(after) {
		t.Errorf("a level was raised, and the epoch goes from %d to %d", featuresEpoch(before), featuresEpoch(after))
	}
	if featuresEpoch(nil) != 0 {
		t.Errorf("without features: %d", featuresEpoch(nil))
	}
}
