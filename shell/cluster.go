package shell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// runOnHost hands a command over to the program: it is about the daemon of
// this host, not about a cluster's configuration.
func runOnHost(ctx context.Context, s *Session, c *call) error {
	if s.cfg.Host == nil {
		return problemf("%s: there is no daemon of this host behind %s", c.path, s.source()).at(c.line.Words[c.head].Pos)
	}
	if s.rehearsing {
		return nil
	}
	if status := s.cfg.Host(ctx, append([]string{c.verb.Name}, c.args()...)); status != 0 {
		s.msg.errors++
		return errReported
	}
	return nil
}

// runTool hands a command over to the program: it is about this host.
func runTool(ctx context.Context, s *Session, c *call) error {
	if s.cfg.Tool == nil {
		return problemf("%s: this is done on the host itself: gcrm %s", c.path, c.path).at(c.line.Words[c.head].Pos)
	}
	if s.rehearsing {
		return nil
	}
	if status := s.cfg.Tool(ctx, c.verb.Name, c.args()); status != 0 {
		s.msg.errors++
		return errReported
	}
	return nil
}

func runClusterWait(ctx context.Context, s *Session, c *call) error {
	if len(c.words) > 0 {
		n, err := strconv.Atoi(c.arg(0))
		if err != nil || n <= 0 {
			return problemf("%s: %q is no number of seconds", c.path, c.arg(0)).at(c.at(0))
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(n)*time.Second)
		defer cancel()
	}
	return s.settle(ctx)
}

func runMaintenance(ctx context.Context, s *Session, c *call) error {
	value := "true"
	if c.verb.Name == "off" {
		value = "false"
	}
	if len(c.words) > 0 {
		return s.setMeta(ctx, c, "maintenance", value)
	}
	return s.change(ctx, c, func(work *cib.CIB) error {
		setProperty(work, "maintenance-mode", value)
		return nil
	})
}

// setProperty sets a cluster property in the default set, which is made if
// there is none.
func setProperty(work *cib.CIB, name, value string) {
	section := work.Section("crm_config")
	set := section.ChildByID(cib.DefaultPropertySet)
	if set == nil {
		for e := range section.Named("cluster_property_set") {
			set = e
		}
	}
	if set == nil {
		set = cib.NewElement("cluster_property_set", "id", cib.DefaultPropertySet)
		section.Add(set)
	}
	for p := range set.Named("nvpair") {
		if p.Get("name") == name {
			p.Set("value", value)
			return
		}
	}
	set.Add(cib.NewElement("nvpair", "name", name, "value", value, "id", idsOf(work).fresh(set.ID()+"-"+name)))
}

func runTicket(ctx context.Context, s *Session, c *call) error {
	action, id := strings.ToLower(c.arg(0)), c.arg(1)
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	state := doc.Status().Child("tickets").ChildByID(id)
	edit := cib.TicketEdit{ID: id}
	switch action {
	case "show", "time":
		if state == nil {
			return problemf("ticket %s does not exist", id).at(c.at(1))
		}
		if action == "time" {
			return s.writeValue("last_granted", clockTime(state.Get("last-granted")))
		}
		if s.cfg.Format == "json" {
			return s.writeJSON(map[string]string{"ticket": id, "granted": state.Get("granted"), "standby": state.Get("standby"), "last_granted": state.Get("last-granted")})
		}
		s.printf("%s\t%s\n", id, ticketText(state))
		return nil
	case "grant":
		if !s.confirm(fmt.Sprintf("If ticket %s is granted at another site too, the same data is used twice. Grant it", id)) {
			return problemf("ticket %s was not granted", id).hinting("confirm it, or use -F")
		}
		edit.Attributes = []cib.Attr{{Name: "granted", Value: "true"}, {Name: "last-granted", Value: strconv.FormatInt(s.cfg.Now().Unix(), 10)}}
	case "revoke":
		edit.Attributes = []cib.Attr{{Name: "granted", Value: "false"}}
	case "standby":
		edit.Attributes = []cib.Attr{{Name: "standby", Value: "true"}}
	case "activate":
		edit.Attributes = []cib.Attr{{Name: "standby", Value: "false"}}
	case "delete":
		if state == nil {
			return problemf("ticket %s does not exist", id).at(c.at(1))
		}
		edit.Delete = true
	}
	return s.changeStatus(ctx, []cib.StatusEdit{{Ticket: &edit}})
}

func ticketText(state *cib.Element) string {
	var parts []string
	if cib.IsTrue(state.Get("granted")) {
		parts = append(parts, "granted")
	} else {
		parts = append(parts, "revoked")
	}
	if cib.IsTrue(state.Get("standby")) {
		parts = append(parts, "[standby]")
	}
	if t := clockTime(state.Get("last-granted")); t != "-" {
		parts = append(parts, fmt.Sprintf("last-granted=%q", t))
	}
	return strings.Join(parts, " ")
}

// clockTime writes seconds since the epoch as local time.
func clockTime(seconds string) string {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n <= 0 {
		return "-"
	}
	return time.Unix(n, 0).Format(time.ANSIC)
}

// sessionOption is a setting that lasts as long as the session.
type sessionOption struct {
	name, help string
	get        func(*Session) string
	set        func(*Session, string) error
}

func sessionOptions() []sessionOption {
	boolean := func(p func(*Session) *bool) (func(*Session) string, func(*Session, string) error) {
		return func(s *Session) string { return map[bool]string{true: "yes", false: "no"}[*p(s)] },
			func(s *Session, v string) error {
				b, ok := cib.ParseBool(v)
				if !ok {
					return problemf("%q is neither yes nor no", v)
				}
				*p(s) = b
				return nil
			}
	}
	force, setForce := boolean(func(s *Session) *bool { return &s.cfg.Force })
	wait, setWait := boolean(func(s *Session) *bool { return &s.cfg.Wait })
	return []sessionOption{
		{"force", "yes to questions, and commits override what can be overridden", force, setForce},
		{"wait", "after a change, wait until the cluster has settled", wait, setWait},
		{"output", "form of lists: text or json", func(s *Session) string { return s.cfg.Format }, func(s *Session, v string) error {
			if v != "text" && v != "json" {
				return problemf("%q is neither text nor json", v)
			}
			s.cfg.Format = v
			return nil
		}},
		{"display", "plain, color, color-always or uppercase", func(s *Session) string {
			switch {
			case s.cfg.Display.Color:
				return "color"
			case s.cfg.Display.Uppercase:
				return "uppercase"
			}
			return "plain"
		}, func(s *Session, v string) error {
			d, err := ParseDisplay(v, isTerminal(s.msg.out), s.cfg.Environ("NO_COLOR") != "")
			if err == nil {
				s.cfg.Display = d
			}
			return err
		}},
		{"wait-timeout", "how long to wait for a cluster that makes no progress", func(s *Session) string {
			if s.cfg.WaitTimeout == 0 {
				return "1min"
			}
			return cib.FormatDuration(s.cfg.WaitTimeout)
		}, func(s *Session, v string) error {
			d, err := cib.ParseDuration(v)
			if err == nil {
				s.cfg.WaitTimeout = d
			}
			return err
		}},
	}
}

func runOptionsShow(ctx context.Context, s *Session, c *call) error {
	t := newTable("Option", "Value", "Meaning")
	found := false
	for _, o := range sessionOptions() {
		if c.arg(0) == "" || c.arg(0) == o.name || c.arg(0) == "all" {
			t.row(o.name, o.get(s), o.help)
			found = true
		}
	}
	if !found {
		return noOption(c)
	}
	return s.writeTable(t)
}

func noOption(c *call) error {
	var names []string
	for _, o := range sessionOptions() {
		names = append(names, o.name)
	}
	p := problemf("%s: unknown option %q", c.path, c.arg(0)).at(c.at(0))
	if near := nearest(c.arg(0), names); near != "" {
		return p.hinting("did you mean %s?", near)
	}
	return p.hinting("there are %s", strings.Join(names, ", "))
}

func runOptionsSet(ctx context.Context, s *Session, c *call) error {
	options := sessionOptions()
	i := slices.IndexFunc(options, func(o sessionOption) bool { return o.name == strings.ReplaceAll(c.arg(0), "_", "-") })
	if i < 0 {
		return noOption(c)
	}
	if err := options[i].set(s, c.arg(1)); err != nil {
		return problemf("%s: %v", c.path, err).at(c.at(1))
	}
	return nil
}
