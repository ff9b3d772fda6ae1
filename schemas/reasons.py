"""The catalogue of reason codes: every ground a decision can have, in one place. The docs are made from it."""

from __future__ import annotations

from typing import NamedTuple


class ReasonCode(NamedTuple):
    """One ground: its code, the agent that gives it, the article it rests on, what it means and what ends it.

    `article` cites the rules as AVP-n (Provisions on the Administration of Network Audio-Video Information
    Services), DSP-n (deep synthesis provisions) and LBL-n (labelling measures); empty where the ground is
    technical.
    """

    code: str
    agent: str
    article: str
    meaning: str
    remedy: str


_CODES = (
    ReasonCode("ID-UNKNOWN", "identity", "AVP-8", "The publisher is not in the registry.",
               "Register the publisher on the topic `publishers`, then send the event again."),
    ReasonCode("ID-UNVERIFIED", "identity", "AVP-8", "The publisher's real name is not verified, or no longer.",
               "Verify the publisher, then send the event again."),
    ReasonCode("ID-NUMBER-MISSING", "identity", "AVP-8",
               "No ID or mobile number (person) or organisation code (organisation) is on file.",
               "Complete the publisher's row, then send the event again."),
    ReasonCode("ID-NUMBER-FORM", "identity", "AVP-8", "The ID number fails the check of GB 11643.",
               "Correct the publisher's row, then send the event again."),
    ReasonCode("ID-ORG-FORM", "identity", "AVP-8", "The organisation code fails the check of GB 32100.",
               "Correct the publisher's row, then send the event again."),
    ReasonCode("ID-MOBILE-FORM", "identity", "AVP-8", "The mobile number has no country's form of one.",
               "Correct the publisher's row, then send the event again."),
    ReasonCode("ID-DOCUMENT-FORM", "identity", "AVP-8", "The passport or permit has not the form of one.",
               "Correct the publisher's row, then send the event again."),
    ReasonCode("ID-NUMBER-KIND", "identity", "AVP-8", "No number of a kind that the policy accepts is on file.",
               "Complete the publisher's row, then send the event again."),
    ReasonCode("ID-PENDING", "identity", "AVP-8", "The verifier has not answered yet, or cannot be reached.",
               "Wait for the verifier, then send the event again."),
    ReasonCode("ID-AGE", "identity", "AVP-7", "The publisher is younger than the service allows, or of unknown age.",
               "None, until the publisher is old enough; an unknown age is mended in the publisher's row."),
    ReasonCode("ID-CONSENT", "identity", "AVP-7", "The publisher is under 18 without a guardian's consent.",
               "Add the consent to the publisher's row, then send the event again."),
    ReasonCode("AGREEMENT-MISSING", "identity", "AVP-14", "The service agreement in force was not accepted.",
               "Have it accepted and add that to the publisher's row, then send the event again."),
    ReasonCode("SANCTION-LIMITED", "identity", "AVP-14", "A sanction keeps the publisher from this service.",
               "Wait until it ends, or appeal."),
    ReasonCode("SANCTION-SUSPENDED", "identity", "AVP-14", "The publisher's updates are suspended.",
               "Wait until the suspension ends, or appeal."),
    ReasonCode("SANCTION-CLOSED", "identity", "AVP-14", "The publisher's account is closed.", "Appeal."),
    ReasonCode("SANCTION-EVASION", "identity", "AVP-14",
               "Another account of the same person, organisation or device is suspended or closed.",
               "As for that account: wait, or appeal."),
    ReasonCode("ENTITY-LABEL", "identity", "AVP-7", "Publisher, device or medium carries a label of note.",
               "A person decides, or the label expires."),
    ReasonCode("LICENCE-UNKNOWN-PROVIDER", "identity", "AVP-6", "The provider is not in the registry.",
               "Register the provider on the topic `providers`, then send the event again."),
    ReasonCode("LICENCE-MISSING", "identity", "AVP-6", "No licence of the provider covers this service.",
               "Add the licence to the provider's row, then send the event again."),
    ReasonCode("LICENCE-EXPIRED", "identity", "AVP-6", "The licence that covers this service has expired.",
               "Renew the licence in the provider's row, then send the event again."),
    ReasonCode("LICENCE-FORM", "identity", "AVP-6", "The number of the permit has not the form of its kind.",
               "Correct the provider's row, then send the event again."),
    ReasonCode("LICENCE-NEWS", "identity", "AVP-6", "The provider has no permit to carry news.",
               "Add the permit to the provider's row, then send the event again."),
    ReasonCode("NEWS-SOURCE", "identity", "AVP-6", "The news comes from a source that is not on the list.",
               "Name the listed source that it was taken from, then send the event again."),
    ReasonCode("FEATURE-UNKNOWN", "identity", "AVP-10", "The creation feature is not in the registry.",
               "Register the feature on the topic `features`, then send the event again."),
    ReasonCode("FEATURE-UNASSESSED", "identity", "AVP-10", "The creation feature has no safety assessment.",
               "Assess the feature and add the record, then send the event again."),
    ReasonCode("FEATURE-EXPIRED", "identity", "AVP-10", "The creation feature's safety assessment is no longer valid.",
               "Assess the feature again, then send the event again."),
    ReasonCode("EXTRACT-FETCH", "review", "AVP-7", "The media could not be fetched.",
               "Put the media where the event says, then send the event again."),
    ReasonCode("EXTRACT-FORBIDDEN", "review", "AVP-7", "The media lies where this worker may not fetch from.",
               "Allow the host or folder in the settings, or put the media elsewhere."),
    ReasonCode("EXTRACT-MISMATCH", "review", "AVP-7", "Size or SHA-256 of the media differ from the event's.",
               "Send an event that names the media as it is."),
    ReasonCode("EXTRACT-EMPTY", "review", "AVP-7", "The media has no bytes.", "Upload the media again."),
    ReasonCode("EXTRACT-FORMAT", "review", "AVP-7", "The file is not media of a container that is read here.",
               "Upload the media in a usual container (mp4, mov, mkv, webm, flv, ts, m4a, mp3, wav, flac, ogg)."),
    ReasonCode("EXTRACT-BROKEN", "review", "AVP-7", "The media is damaged: nothing in it could be decoded.",
               "Upload the media again."),
    ReasonCode("EXTRACT-LIMIT", "review", "AVP-7", "The media exceeds a limit (bytes, pixels, length).",
               "Upload smaller media, or raise the limit in the settings."),
    ReasonCode("EXTRACT-TIMEOUT", "review", "AVP-7", "Reading the media took longer than allowed; it was ended.",
               "A person looks at the item; raise the limit in the settings if it is ordinary."),
    ReasonCode("EXTRACT-CRASHED", "review", "AVP-7", "The process that read the media died.",
               "A person looks at the item: media made to harm looks like this."),
    ReasonCode("REVIEW-HASH", "review", "AVP-9", "Frames or file match banned media of the hash bank.",
               "None: the content was banned before. A wrong entry is taken out of the bank."),
    ReasonCode("REVIEW-KNOWN-GOOD", "review", "AVP-9",
               "Frames that match banned media match known good media at least as well.", "None: the item passes."),
    ReasonCode("REVIEW-SOUND", "review", "AVP-9", "A stretch of its sound matches banned sound of the hash bank.",
               "None where the sound itself is banned; else a person decides. A wrong entry is taken out of the bank."),
    ReasonCode("REVIEW-NUDITY", "review", "AVP-9", "A model finds nudity.", "A person decides."),
    ReasonCode("REVIEW-MODEL", "review", "AVP-9", "A model of the platform's own finds what its policy asks about.",
               "A person decides."),
    ReasonCode("REVIEW-TERM", "review", "AVP-9", "A text of the item, written, shown or spoken, holds a listed term.",
               "A person decides, or the publisher changes the text."),
    ReasonCode("REVIEW-LINK", "review", "AVP-9", "A link, written, shown or as a QR code, leads to where it must not.",
               "A person decides, or the publisher takes the link out."),
    ReasonCode("REVIEW-BLANK", "review", "AVP-7", "Picture is black and sound silent: there is nothing to review.",
               "A person decides."),
    ReasonCode("REVIEW-BLIND", "review", "AVP-7", "A detector did not answer: the item was not wholly reviewed.",
               "A person decides."),
    ReasonCode("SYNTH-LABELLED", "synthetic", "LBL-6", "The metadata holds a valid AIGC label.",
               "None: the notice is shown with the item."),
    ReasonCode("SYNTH-DECLARED", "synthetic", "AVP-12",
               "The publisher declares generated content and the media is not labelled.",
               "Label the media as ordered, then send its labelled copy under the same content_id."),
    ReasonCode("SYNTH-NONCOMPLIANT", "synthetic", "AVP-12",
               "The media carries an AIGC label that breaks GB 45438-2025.",
               "Label the media as ordered, then send its labelled copy under the same content_id."),
    ReasonCode("SYNTH-TRACE", "synthetic", "LBL-6", "Other traces of generation were found (C2PA, tool tags).",
               "None: the notice is shown with the item."),
    ReasonCode("LABEL-REMOVED", "synthetic", "DSP-18",
               "The publisher showed the same pictures with an AIGC label before; this file has none (LBL-10 as well).",
               "Label the media as ordered, then send its labelled copy under the same content_id; or appeal."),
    ReasonCode("LABEL-WRITTEN", "labeler", "LBL-6", "The item was labelled as ordered: its copy is in the store.",
               "None: the copy is published."),
    ReasonCode("LABEL-FAILED", "labeler", "AVP-12", "The labelled copy could not be made; the evidence says why.",
               "Mend what the evidence names, or label the media by hand and send it under the same content_id."),
    ReasonCode("RUMOR-REFUTED", "rumor", "AVP-13", "The text repeats a claim that has been refuted.",
               "None: the refutation is shown with the item."),
    ReasonCode("RUMOR-SUSPECTED", "rumor", "AVP-13", "The text repeats a claim under suspicion.", "A person decides."),
    ReasonCode("RUMOR-REFUTING", "rumor", "AVP-13", "The text refutes a listed claim, or mocks it.",
               "None: the item passes."),
    ReasonCode("RUMOR-MENTIONED", "rumor", "AVP-13", "The text asks about a listed claim or reports of it.",
               "None: the item passes."),
    ReasonCode("RUMOR-NEWS-SOURCE", "rumor", "AVP-6", "The news is taken from a source that the policy shuts out.",
               "Take it from a licensed source and name that, then send the event again."),
    ReasonCode("RUMOR-REFUTED-LATER", "refuting", "AVP-13",
               "The text repeats a claim that was refuted after the item was published.",
               "None: the refutation is shown with the item."),
    ReasonCode("RUMOR-EMERGING", "emerging", "AVP-13",
               "Many accounts of low standing say the same within minutes, and did not before.", "A person decides."),
    ReasonCode("RUMOR-RECYCLED", "recycled", "AVP-11",
               "Footage of an earlier item comes under a text that names another place or date.", "A person decides."),
    ReasonCode("RUMOR-FAKE-NEWS", "rumor", "AVP-11", "News made with generated media.",
               "None: generated media must not carry news."),
    ReasonCode("COMPLAINT-WEIGHT", "complaints", "AVP-15", "Complaints about the item ask for a person.",
               "A person decides."),
    ReasonCode("COMPLAINT-APPEAL", "complaints", "AVP-15", "The publisher appeals.", "A person decides."),
    ReasonCode("COMPLAINT-UNKNOWN-CONTENT", "complaints", "AVP-15",
               "The item that the complaint is about was not seen, or too long ago.",
               "A person looks for it."),
    ReasonCode("PERSON-REMOVED", "reviewers", "AVP-12", "A person looked at the item and removed it.",
               "Appeal: another person looks."),
    ReasonCode("PERSON-KEPT", "reviewers", "AVP-12", "A person looked at the item and found nothing against it.",
               "None: what was asked is answered."),
    ReasonCode("PERSON-LABELLED", "reviewers", "AVP-12", "A person looked at the item and labelled it.",
               "None: the label is shown with the item."),
    ReasonCode("PERSON-ESCALATED", "reviewers", "AVP-7", "Those who looked could not settle it, or disagree.",
               "Somebody else decides."),
    ReasonCode("STREAM-CUT", "verdict", "AVP-12", "The livestream was cut for an earlier segment.",
               "None: the stream has ended. The earlier segment's reasons say why."),
    ReasonCode("VERDICT-TIMEOUT", "verdict", "AVP-7", "Not every agent had decided when the deadline passed.",
               "Wait: the late decision changes the verdict."),
)  # fmt: skip

CATALOGUE: dict[str, ReasonCode] = {code.code: code for code in _CODES}
"""code → its meaning, in the order of the docs."""

#: Of items that repeat a claim that had been refuted before they came.
REFUTED = "RUMOR-REFUTED"
#: Of all items that repeat a listed claim.
CLAIM_REPEATED = frozenset({REFUTED, "RUMOR-REFUTED-LATER", "RUMOR-SUSPECTED"})
#: The reasons of questions that are about all that was decided on an item.
APPEALS = frozenset({"COMPLAINT-APPEAL"})
