//! Tables, stage by stage.
