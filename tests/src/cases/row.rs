//! A row of the table as it is written down: a base, and one change to it.

use edge_filter::policy::{Action, DropReason};

use super::Case;
use super::policies::{Kind, PolicyVariant};
use crate::craft::{Frame, Tag};

/// The tags that a row is repeated with, by how many there are.
pub(super) const TAGS: [&[Tag]; 3] = [
    &[],
    &[Tag {
        announced_by: 0x8100,
        control: 100,
    }],
    &[
        Tag {
            announced_by: 0x88a8,
            control: 200,
        },
        Tag {
            announced_by: 0x8100,
            control: 100,
        },
    ],
];

/// A case before it is repeated with tags.
pub(super) struct Row {
    group: &'static str,
    name: String,
    kind: Kind,
    base: Frame,
    base_counter: &'static str,
    frame: Frame,
    counter: String,
    action: Action,
    reference: &'static str,
    own_tags: bool,
}

/// Something that can be made into a frame, and the counter that admits it.
pub(super) struct Base<P> {
    group: &'static str,
    kind: Kind,
    counter: &'static str,
    packet: P,
    frame: Box<dyn Fn(P) -> Frame>,
    own_tags: bool,
}

impl<P: Clone + Into<Frame> + 'static> Base<P> {
    /// `counter` admits `packet` under the standard policy.
    pub(super) fn new(group: &'static str, counter: &'static str, packet: P) -> Self {
        Self::within(group, counter, packet, P::into)
    }
}

impl<P: Clone> Base<P> {
    /// `counter` admits what `frame` makes of `packet`; the rows change
    /// `packet`.
    pub(super) fn within(
        group: &'static str,
        counter: &'static str,
        packet: P,
        frame: impl Fn(P) -> Frame + 'static,
    ) -> Self {
        Self {
            group,
            kind: Kind::Standard,
            counter,
            packet,
            frame: Box::new(frame),
            own_tags: false,
        }
    }

    /// Another policy judges the base and the rows made from it.
    pub(super) fn under(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The rows say themselves which tags there are.
    pub(super) fn with_own_tags(self) -> Self {
        Self {
            own_tags: true,
            ..self
        }
    }

    /// The change makes it a frame that is dropped as `reason`.
    pub(super) fn drops(
        &self,
        name: impl Into<String>,
        reason: DropReason,
        reference: &'static str,
        change: impl FnOnce(P) -> P,
    ) -> Row {
        self.row(
            name,
            format!("drop:{}", reason.as_str()),
            Action::Drop,
            reference,
            self.changed(change),
        )
    }

    /// The change makes it a frame that passes, and moves `counter`.
    pub(super) fn counts(
        &self,
        name: impl Into<String>,
        counter: &str,
        reference: &'static str,
        change: impl FnOnce(P) -> P,
    ) -> Row {
        self.row(
            name,
            counter.to_owned(),
            Action::Allow,
            reference,
            self.changed(change),
        )
    }

    /// The change changes nothing of the verdict.
    pub(super) fn passes(
        &self,
        name: impl Into<String>,
        reference: &'static str,
        change: impl FnOnce(P) -> P,
    ) -> Row {
        self.counts(name, self.counter, reference, change)
    }

    /// The change makes it a frame that the drop rule `id` drops.
    pub(super) fn denied_by(
        &self,
        name: impl Into<String>,
        id: &str,
        reference: &'static str,
        change: impl FnOnce(P) -> P,
    ) -> Row {
        self.row(
            name,
            id.to_owned(),
            Action::Drop,
            reference,
            self.changed(change),
        )
    }

    /// As [`drops`](Self::drops), by a change to the frame.
    pub(super) fn frame_drops(
        &self,
        name: impl Into<String>,
        reason: DropReason,
        reference: &'static str,
        change: impl FnOnce(Frame) -> Frame,
    ) -> Row {
        let counter = format!("drop:{}", reason.as_str());
        self.row(name, counter, Action::Drop, reference, change(self.base()))
    }

    /// As [`passes`](Self::passes), by a change to the frame.
    pub(super) fn frame_passes(
        &self,
        name: impl Into<String>,
        reference: &'static str,
        change: impl FnOnce(Frame) -> Frame,
    ) -> Row {
        self.row(
            name,
            self.counter.to_owned(),
            Action::Allow,
            reference,
            change(self.base()),
        )
    }

    /// As [`counts`](Self::counts), for a frame that has little in common with
    /// the base: a base only vouches for the policy then.
    pub(super) fn other_counts(
        &self,
        name: impl Into<String>,
        counter: &str,
        reference: &'static str,
        frame: impl Into<Frame>,
    ) -> Row {
        self.row(
            name,
            counter.to_owned(),
            Action::Allow,
            reference,
            frame.into(),
        )
    }

    /// As [`other_counts`](Self::other_counts), for a drop.
    pub(super) fn other_drops(
        &self,
        name: impl Into<String>,
        reason: DropReason,
        reference: &'static str,
        frame: impl Into<Frame>,
    ) -> Row {
        let counter = format!("drop:{}", reason.as_str());
        self.row(name, counter, Action::Drop, reference, frame.into())
    }

    fn base(&self) -> Frame {
        (self.frame)(self.packet.clone())
    }

    fn changed(&self, change: impl FnOnce(P) -> P) -> Frame {
        (self.frame)(change(self.packet.clone()))
    }

    fn row(
        &self,
        name: impl Into<String>,
        counter: String,
        action: Action,
        reference: &'static str,
        frame: Frame,
    ) -> Row {
        Row {
            group: self.group,
            name: name.into(),
            kind: self.kind,
            base: self.base(),
            base_counter: self.counter,
            frame,
            counter,
            action,
            reference,
            own_tags: self.own_tags,
        }
    }
}

impl Row {
    /// The case with 0, 1 and 2 tags; or as it is, where tags are the matter.
    pub(super) fn with_tags(self) -> Vec<Case> {
        let case = |name: String, base: &Frame, frame: &Frame| Case {
            name,
            policy: PolicyVariant::new(self.kind),
            base: base.bytes(),
            base_counter: self.base_counter,
            frame: frame.bytes(),
            counter: self.counter.clone(),
            action: self.action,
            reference: self.reference,
        };
        if self.own_tags {
            return vec![case(
                format!("{}/{}", self.group, self.name),
                &self.base,
                &self.frame,
            )];
        }
        let tagged = |frame: &Frame, count: usize| frame.clone().tags(TAGS[count].iter().copied());
        (0..TAGS.len())
            .map(|count| {
                let name = format!("{}/tag{count}/{}", self.group, self.name);
                case(
                    name,
                    &tagged(&self.base, count),
                    &tagged(&self.frame, count),
                )
            })
            .collect()
    }
}
