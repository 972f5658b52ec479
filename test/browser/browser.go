// Package browser runs the portal in a real browser, Chromium by way of Playwright, against the product that is sold,
// with real Apache Kafka behind its gateway. What is done and looked at is in *.spec.ts; look.ts has what every page has
// to stand. The tests here start what those need.
package browser
