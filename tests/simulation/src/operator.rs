//! What the operator changes, and the end of the faults.

use crate::coverage::Sometimes;
use crate::event::{Down, Event};
use crate::receivers::Parameter;
use crate::routing::{address, has_receiver, receiver_bit, set};
use crate::world::World;
use jiff::SignedDuration;

impl World {
    /// The faults stop, whatever was still to come of them.
    pub(crate) fn quiet(&mut self) {
        self.is_stormy = false;
        self.hunted = 0;
        self.down = Down::default();
        self.mail.set(|mail| mail.sandbox = false);
        if !self.config.is_kind {
            self.suppress(false);
        }
        self.receivers.recover();
        self.keys.set_unreadable(false);
        self.say(|| "faults stop".to_owned());
        let written_until = self.clock.now();
        self.after(self.soon(), Event::RunsWereMade { written_until });
        self.after(SignedDuration::from_mins(10), Event::Redrive);
    }

    /// The mail service drops what is for some recipients: all of one route, and one of several who get what no route takes.
    pub(crate) fn suppress(&mut self, is_on: bool) {
        // Where the default recipients get what two routes should have, they get some leads twice.
        let route = self.routing.routes.first().filter(|_| self.config.lost_parameters == 0);
        let of_route = route.map(|route| route.to.clone()).unwrap_or_default();
        let of_default = self.routing.default.first().filter(|_| self.routing.default.len() > 1);
        let people: Vec<_> =
            of_route.into_iter().chain(of_default.copied()).filter(|who| !has_receiver(&[*who])).collect();
        if people.is_empty() {
            return;
        }
        if is_on {
            self.model.are_suppressed(set(&people), &self.routing);
        }
        self.mail.set(|mail| {
            mail.suppressed = people.iter().filter(|_| is_on).map(|person| address(*person)).collect();
        });
        self.say(|| format!("the mail service drops what is for {} recipients: {is_on}", people.len()));
    }

    pub(crate) fn lose_parameter(&mut self, parameter: Parameter) {
        self.receivers.set_parameter(0, parameter);
        self.coverage.note(match parameter {
            Parameter::Damaged => Sometimes::DestinationDamaged,
            Parameter::Gone | Parameter::Right => Sometimes::DestinationGone,
        });
        if parameter == Parameter::Gone {
            self.model.destination_is_gone(receiver_bit(0), &self.routing);
        }
        self.say(|| format!("the parameter of receiver 0 is {parameter:?}"));
    }

    pub(crate) fn change_settings(&mut self) {
        let faults = &mut self.tapes.faults;
        let mut config = self.config.clone();
        match faults.below(2) {
            0 => config.digest_size = faults.pick(&[100, 3, 20]),
            _ => config.sweep_hours = faults.pick(&[24, 6, 0]),
        }
        let Some(settings) = self.routing.settings(&config) else { return };
        self.coverage.note(Sometimes::SettingsChanged);
        self.say(|| {
            format!("the operator changes settings: {} leads, {} hours", config.digest_size, config.sweep_hours)
        });
        (self.config, self.settings) = (config, settings);
    }

    pub(crate) fn change_routes(&mut self) {
        let changed = self.routing.changed(&mut self.tapes.faults);
        let Some(settings) = changed.settings(&self.config) else { return };
        self.coverage.note(Sometimes::RoutesChanged);
        self.say(|| format!("the operator changes who gets what: {changed:?}"));
        self.model.change_routing(&changed);
        self.settings = settings;
        self.routing_before = Some((std::mem::replace(&mut self.routing, changed), self.clock.now()));
    }
}
