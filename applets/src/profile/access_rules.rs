//! `PE-Application` where it is the access rule application: that one is on the card, whatever byte code comes along.

use card_os::NewApplication;
use saip::Status;
use saip::access_control::ARA_M_AID;
use saip::application::{Application, ApplicationInstance};

use crate::ara_m::{self, Writing};

/// GlobalPlatform life cycle states of an application that can be selected, the application's own ones among them.
const SELECTABLE: u8 = 0x07;

/// The specific parameters by which a package says that anybody may write the rules; anything else leaves that to who has
/// verified ADM1.
pub(super) const OPEN: [u8; 1] = [0x01];

/// Whether an element installs the access rule application and nothing else.
pub(super) fn is_meant(element: &Application) -> bool {
    element.instance_list.as_deref().is_some_and(|instances| {
        !instances.is_empty() && instances.iter().all(|instance| instance.instance_aid == ARA_M_AID)
    })
}

/// The application with the rules that the package sends to it.
pub(super) fn of(element: &Application) -> Result<Vec<NewApplication>, (Status, &'static str)> {
    element.instance_list.iter().flatten().map(of_instance).collect()
}

fn of_instance(instance: &ApplicationInstance) -> Result<NewApplication, (Status, &'static str)> {
    let [life_cycle] = instance.life_cycle_state;
    if life_cycle & SELECTABLE != SELECTABLE {
        return Err((Status::BAD_VALUES, "a life cycle state that cannot be selected"));
    }
    let commands = instance.process_data.iter().flatten().map(Vec::as_slice);
    let rules = ara_m::of_commands(commands).ok_or((Status::BAD_VALUES, "processData is not answered with 9000"))?;
    let writing = if instance.application_specific_parameters == OPEN { Writing::Open } else { Writing::Locked };
    let mut application =
        ara_m::new_application(&rules, writing).ok_or((Status::BAD_VALUES, "no AID for the access rules"))?;
    application.record.life_cycle = life_cycle;
    Ok(application)
}
