//! The emulated card, put together: operating system, applications, memory on disk, personalisation.
