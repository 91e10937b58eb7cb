//! `PE-Application`: a load file and instances of it; and what an instance of a security domain has in common with them.

use crate::PeHeader;
use crate::codec::sequence;

sequence! {
    /// `PE-Application`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Application {
        /// The header.
        0xA0 header: PeHeader,
        /// Code to load.
        0xA1 load_block: Option<ApplicationLoadPackage>,
        /// Instances to make.
        0xA2 instance_list: Option<Vec<ApplicationInstance>> [1..=usize::MAX],
    }
}

sequence! {
    /// `ApplicationLoadPackage`, GlobalPlatform card specification §11.6.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ApplicationLoadPackage {
        /// The package.
        0x4F load_package_aid: Vec<u8> [5..=16],
        /// The security domain it belongs to; the issuer's if absent.
        0x4F security_domain_aid: Option<Vec<u8>> [5..=16],
        /// Least memory for code.
        0xC6 non_volatile_code_limit: Option<Vec<u8>>,
        /// Least volatile memory.
        0xC7 volatile_data_limit: Option<Vec<u8>>,
        /// Least memory for data.
        0xC8 non_volatile_data_limit: Option<Vec<u8>>,
        /// Hash of the load file data block.
        0xC1 hash_value: Option<Vec<u8>>,
        /// The load file data block.
        0xC4 load_block_object: Vec<u8>,
    }
}

sequence! {
    /// `ApplicationInstance`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ApplicationInstance {
        /// The package that holds the class.
        0x4F application_load_package_aid: Vec<u8> [5..=16],
        /// The class.
        0x4F class_aid: Vec<u8> [5..=16],
        /// The instance.
        0x4F instance_aid: Vec<u8> [5..=16],
        /// The security domain it is handed over to.
        0x4F extradite_security_domain_aid: Option<Vec<u8>> [5..=16],
        /// Privileges, one or three octets, GlobalPlatform §11.1.2.
        0x82 application_privileges: Vec<u8> [1..=3],
        /// Life cycle state, GlobalPlatform §11.1.1.
        0x83 life_cycle_state: [u8; 1] = [0x07],
        /// Parameters of the application itself.
        0xC9 application_specific_parameters: Vec<u8>,
        /// Parameters of the system.
        0xEF system_specific_parameters: Option<ApplicationSystemParameters>,
        /// Parameters of TS 102 226.
        0xEA application_parameters: Option<UiccApplicationParameters>,
        /// Commands sent to the instance once it exists; each has to be answered with 9000.
        0x30 process_data: Option<Vec<Vec<u8>>> [1..=usize::MAX],
        /// Who provides the application.
        0xB0 control_reference_template: Option<ControlReferenceTemplate>,
    }
}

sequence! {
    /// `ApplicationSystemParameters`, GlobalPlatform §11.5.2.3.7.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ApplicationSystemParameters {
        /// Volatile memory quota.
        0xC7 volatile_memory_quota: Option<Vec<u8>> [2..=4],
        /// Non-volatile memory quota.
        0xC8 non_volatile_memory_quota: Option<Vec<u8>> [2..=4],
        /// Global service parameters.
        0xCB global_service_parameters: Option<Vec<u8>>,
        /// Implicit selection parameter.
        0xCF implicit_selection_parameter: Option<Vec<u8>>,
        /// Volatile reserved memory.
        0xD7 volatile_reserved_memory: Option<Vec<u8>> [2..=4],
        /// Non-volatile reserved memory.
        0xD8 non_volatile_reserved_memory: Option<Vec<u8>> [2..=4],
        /// SIM file access and toolkit parameters, TS 102 226.
        0xCA sim_file_access_toolkit_parameter: Option<Vec<u8>>,
        /// Additional contactless parameters, TS 102 226.
        0xA0 additional_contactless_parameters: Option<AdditionalContactlessParameters>,
        /// Contactless protocol parameters.
        0xD9 contactless_protocol_parameters: Option<Vec<u8>>,
        /// User interaction parameters.
        0xDA user_interaction_contactless_parameters: Option<Vec<u8>>,
        /// Cumulative granted volatile memory.
        0x82 cumulative_granted_volatile_memory: Option<Vec<u8>> [2..=4],
        /// Cumulative granted non-volatile memory.
        0x83 cumulative_granted_non_volatile_memory: Option<Vec<u8>> [2..=4],
    }
}

sequence! {
    /// `TS102226AdditionalContactlessParameters`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AdditionalContactlessParameters {
        /// Protocol parameter data.
        0x80 protocol_parameter_data: Vec<u8>,
    }
}

sequence! {
    /// `UICCApplicationParameters`, TS 102 226 §8.2.1.3.2.2.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct UiccApplicationParameters {
        /// Toolkit parameters: priority, timers, menu entries, minimum security level, TARs.
        0x80 toolkit: Option<Vec<u8>>,
        /// Access parameters.
        0x81 access: Option<Vec<u8>>,
        /// Administrative access parameters.
        0x82 administrative_access: Option<Vec<u8>>,
    }
}

sequence! {
    /// `ControlReferenceTemplate`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ControlReferenceTemplate {
        /// The provider.
        0x5F20 application_provider_identifier: Vec<u8>,
    }
}
