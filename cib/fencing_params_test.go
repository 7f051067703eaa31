package cib

import (
	"strings"
	"testing"
)

// describedAgents is a source with one agent.
type describedAgents string

func (d describedAgents) Agents() []AgentName { return nil }

func (d describedAgents) Metadata(AgentName) (*AgentMeta, error) { return ParseAgentMeta(string(d)) }

// TestFencingParameters: what fencing takes itself is checked by its own table,
// with the mistakes of people in mind.
func TestFencingParameters(t *testing.T) {
	source := describedAgents(`<resource-agent name="fence_x"><shortdesc>x</shortdesc><parameters><parameter name="ip"><content type="string"/></parameter></parameters><actions><action name="off"/><action name="monitor"/></actions></resource-agent>`)
	for param, want := range map[string]string{
		"pcmk_host_list=n1":          "",
		"pcmk_host_map=n1:1;n2:2":    "",
		"pcmk_delay_base=n1:5s;n2:0": "",
		"pcmk_reboot_action=off":     "",
		"pcmk_status_timeout=20s":    "",
		"pcmk_on_retries=3":          "",
		"pcmk_hots_list=n1":          "did you mean",
		"pcmk_host_check=static":     "is not one of",
		"pcmk_action_limit=many":     "is not a",
		"pcmk_rebot_action=off":      "pcmk_reboot_action",
	} {
		k, v, _ := strings.Cut(param, "=")
		doc, err := Parse(`<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources><primitive id="f" class="stonith" type="fence_x"><instance_attributes id="i"><nvpair id="n" name="` + k + `" value="` + v + `"/></instance_attributes></primitive></resources><constraints/></configuration><status/></cib>`)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range Verify(doc, source, VerifyOptions{}) {
			if p.Object == "f" && strings.Contains(p.String(), k) {
				if p.Severity != Warning {
					t.Errorf("%s: %v", param, p)
				}
				got += p.String() + "\n"
			}
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", param, got, want)
		}
	}
}
