"""The paper's section 3, one module a step."""
