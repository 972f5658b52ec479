package control

import (
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/resource"
	"sluice/internal/strictyaml"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 2000

// answered checks the answers of a subscription against its plan's form. It is asked
// when they, or the plan, change: a form that changes later asks nobody again.
func (c *changing) answered(d, was *resource.Subscription) error {
	if was != nil && was.Spec.Plan == d.Spec.Plan && maps.Equal(was.Spec.Answers, d.Spec.Answers) {
		return nil
	}
	r := c.edit.Get(resource.Key{Kind: resource.KindProduct, Name: d.Spec.Product})
	if r == nil {
		return nil // which the check of the whole says
	}
	form := r.Document.(*resource.Product).Spec.Plans[d.Spec.Plan].Form
	var problems []resource.Problem
	report := func(name, message, fix string) {
		problems = append(problems, d.Problem(strictyaml.Join("spec.answers", name), message, fix))
	}
	names := map[string]bool{}
	for _, q := range form {
		names[q.Name] = true
		answer := d.Spec.Answers[q.Name]
		switch message, fix := wrongAnswer(q, answer); {
		case strings.TrimSpace(answer) == "" && q.Required:
			report(q.Name, "is missing: plan "+d.Spec.Plan+" asks: "+asked(q), "answer it")
		case answer != "" && message != "":
			report(q.Name, message, fix)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Spec.Answers)) {
		if names[name] {
			continue
		}
		fix := "remove it"
		if near := strictyaml.Nearest(name, slices.Sorted(maps.Keys(names))); near != "" {
			fix = "did you mean " + near + "?"
		}
		report(name, "is no question of plan "+d.Spec.Plan, fix)
	}
	if len(problems) > 0 {
		return &ProblemsError{problems}
	}
	return nil
}

func asked(q resource.Question) string {
	if q.Title != "" {
		return q.Title
	}
	return q.Name
}

// wrongAnswer says what is wrong with an answer, "" for nothing.
func wrongAnswer(q resource.Question, answer string) (message, fix string) {
	if len(answer) > maxAnswer || !utf8.ValidString(answer) {
		return fmt.Sprintf("is longer than %d bytes, or no text", maxAnswer), "shorten it"
	}
	switch q.Type {
	case "number":
		if _, err := strconv.ParseFloat(answer, 64); err != nil {
			return "is not a number", `write digits, as "100"`
		}
	case "boolean":
		if answer != "true" && answer != "false" {
			return "is neither true nor false", `write "true" or "false"`
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, answer); err != nil {
			return "is not a date", `write it as "2026-12-31"`
		}
	case "email":
		if a, err := mail.ParseAddress(answer); err != nil || a.Address != answer {
			return "is not an e-mail address", "write it as shop@example.com"
		}
	case "choice":
		if !slices.Contains(q.Choices, answer) {
			return "is not one of the choices", "write one of " + strings.Join(q.Choices, ", ")
		}
	}
	return "", ""
}
