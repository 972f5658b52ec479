// Package identity says who somebody is and what they may do. Its main types are
// Actor, who acts, with the roles it has at the moment, and People, the accounts of
// persons with their passwords, logins and API tokens. It knows neither HTTP nor SQL,
// and nothing of what an action does.
package identity
