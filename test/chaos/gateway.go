// Package chaos breaks things under load and counts what clients lost: gateways
// are killed and restarted, brokers killed, stopped and frozen, while producers,
// a transactional producer and a consumer group work through the gateway. What
// was acknowledged has to be in the log exactly once and in order; a transaction
// is there as a whole or not at all. It knows the product as users do: a binary,
// files and ports.
package chaos

import (
	"fmt"
	"strings"
	"testing"

	"sluice/test/harness"
)

const (
	user     = "chaos"
	password = "a secret of the chaos test"
)

// newGateway starts a gateway for the topics: exposed name → backing topic.
func newGateway(tb testing.TB, binary string, bootstrap []string, topics map[string]string) *harness.Process {
	tb.Helper()
	var contract, backing []string
	for exposed, physical := range topics {
		contract = append(contract, fmt.Sprintf("%s: {send: true, receive: true}", exposed))
		backing = append(backing, fmt.Sprintf("%s: {prod: {cluster: main, topic: %s}}", exposed, physical))
	}
	var b strings.Builder
	doc := func(kind, metadata, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, spec)
	}
	doc("Cluster", "name: main, environment: prod", fmt.Sprintf(`bootstrap: ["%s"]`, strings.Join(bootstrap, `","`)))
	doc("API", "name: chaos, team: chaos", "title: Chaos")
	doc("Version", "name: chaos.v1", fmt.Sprintf("contract: {channels: {%s}}, channels: {%s}, lifecycle: {state: published}",
		strings.Join(contract, ", "), strings.Join(backing, ", ")))
	doc("Product", "name: chaos, team: chaos", "versions: [chaos.v1], plans: {plan: {auth: [plain], approval: automatic}}")
	doc("Application", "name: chaos, team: chaos", "")
	doc("Subscription", "name: chaos, environment: prod", "application: chaos, product: chaos, plan: plan")
	doc("Credential", "name: "+user+", environment: prod", "application: chaos, type: plain, secret: {file: secret.txt}")
	return harness.StartProcess(tb, harness.Serve{
		Binary: binary, Documents: b.String(), Files: map[string]string{"secret.txt": password}, Settings: "limits: {drainTimeout: 5s}",
	})
}
