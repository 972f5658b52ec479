package contract_test

import (
	"bytes"
	"testing"

	"sluice/internal/control/contract"
)

func TestAKnownDocumentSaysTheSameAndIsNotCheckedAgain(t *testing.T) {
	text := []byte(`asyncapi: 3.0.0
info: {title: Orders, version: 1.0.0}
channels:
  placed:
    address: orders.placed
    messages: {placed: {payload: {type: object, properties: {id: {type: string}}}, examples: [{payload: {id: 7}}]}}
operations:
  sendPlaced: {action: send, channel: {$ref: '#/channels/placed'}}
`)
	checked, known := contract.Load("", text, contract.Options{}), contract.Load("", text, contract.Options{Known: true})
	if checked.Model == nil || known.Model == nil {
		t.Fatalf("there is no model: %v, %v", checked.Problems, known.Problems)
	}
	if len(checked.Problems) == 0 || len(known.Problems) != 0 {
		t.Errorf("checked: %v; known: %v", checked.Problems, known.Problems)
	}
	if a, b := checked.Model.Emit(contract.Version30).YAML(), known.Model.Emit(contract.Version30).YAML(); !bytes.Equal(a, b) {
		t.Errorf("checked it says\n%s\nknown\n%s", a, b)
	}
}
