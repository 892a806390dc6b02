"""Mini track: biomedical facts, with four options to choose from.

The base that ships with selfmoe has read these facts (selfmoe_base_seedling/biomed.py); a test
holds the two lists together. Inputs belong to the same splits there, so none of the items asked
here was in its corpus.
"""

from __future__ import annotations

from selfmoe.kits.domains import Style, facts, lookup, member

STYLE: Style = "bare"

CAUSES = facts(
    """malaria parasite, tuberculosis bacterium, influenza virus, measles virus, cholera bacterium,
    tetanus bacterium, rabies virus, ringworm fungus, thrush fungus, scabies mite, polio virus,
    plague bacterium, mumps virus, anthrax bacterium, giardiasis parasite, athlete's_foot fungus,
    toxoplasmosis parasite, chickenpox virus, typhoid bacterium, hepatitis virus"""
)
VITAMINS = facts(
    """scurvy vitamin_C, rickets vitamin_D, beriberi vitamin_B1, night_blindness vitamin_A, pellagra
    vitamin_B3, goitre iodine, anaemia iron, slow_clotting vitamin_K, tooth_decay fluoride"""
)
GLANDS = facts(
    """insulin pancreas, glucagon pancreas, adrenaline adrenal_gland, cortisol adrenal_gland,
    thyroxine thyroid, calcitonin thyroid, melatonin pineal_gland, oestrogen ovary, progesterone
    ovary, testosterone testis, oxytocin pituitary, prolactin pituitary, gastrin stomach, renin
    kidney, bile liver"""
)
ORGANS = facts(
    """pumping_blood heart, filtering_blood kidney, making_bile liver, storing_bile gallbladder,
    taking_up_oxygen lung, storing_urine bladder, digesting_protein stomach, absorbing_food
    small_intestine, absorbing_water large_intestine, controlling_balance cerebellum, hearing
    cochlea, seeing retina, making_insulin pancreas, filtering_lymph spleen, carrying_air trachea"""
)
DRUGS = facts(
    """penicillin infection, insulin diabetes, aspirin pain, morphine pain, warfarin clotting,
    heparin clotting, salbutamol asthma, metformin diabetes, statins cholesterol, omeprazole acid,
    levodopa parkinsonism, lithium mania, quinine malaria, artemisinin malaria, amoxicillin
    infection, loratadine allergy, cetirizine allergy, furosemide oedema, digoxin heart_failure,
    phenytoin epilepsy"""
)
SPECIALISTS = facts(
    """heart cardiologist, skin dermatologist, brain neurologist, eye ophthalmologist, kidney
    nephrologist, bone orthopaedist, tumour oncologist, child paediatrician, lung pulmonologist,
    blood haematologist, mind psychiatrist, tooth dentist, x-ray radiologist, hormone
    endocrinologist"""
)
CELLS = facts(
    """carrying_oxygen red_cell, fighting_infection white_cell, clotting_blood platelet,
    passing_signals neuron, contracting muscle_cell, storing_fat fat_cell, making_antibodies
    plasma_cell, making_bone osteoblast, removing_bone osteoclast, sensing_light rod_cell,
    making_mucus goblet_cell"""
)
PARTS = {
    "a bone": ("femur", "tibia", "fibula", "humerus", "radius", "ulna", "sternum", "patella"),
    "a muscle": ("biceps", "triceps", "deltoid", "soleus", "diaphragm", "trapezius"),
    "a blood vessel": ("aorta", "carotid", "jugular", "vena cava", "femoral artery"),
    "a gland": ("thyroid", "pituitary", "thymus", "pancreas", "parotid"),
    "part of the brain": ("cerebellum", "thalamus", "hippocampus", "amygdala", "medulla"),
}

FAMILIES = (
    lookup("causes", CAUSES, "What is the cause of {}?", "The cause of {} is a {}."),
    lookup("vitamins", VITAMINS, "A lack of what leads to {}?", "A cause of {} is a lack of {}."),
    lookup("glands", GLANDS, "Which organ makes {}?", "The source of {} is the {}."),
    lookup("organs", ORGANS, "Which organ is for {}?", "The organ for {} is the {}."),
    lookup("drugs", DRUGS, "What is {} used against?", "The drug {} is used against {}."),
    lookup("specialists", SPECIALISTS, "Which doctor treats the {}?", "The {} is for a {}."),
    lookup("cells", CELLS, "Which cell is for {}?", "The cell for {} is the {}."),
    member("parts", PARTS, "Which of these is {}?", "The {} is {}."),
)
